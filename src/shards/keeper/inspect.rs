//! What a keeper says about one of its streams when a person asks.

use tokio::time::Instant;

use super::{Keeper, inspector::StreamInspection};
use crate::domain::StreamId;

impl Keeper {
    /// Describes a stream.
    pub(super) fn inspect(&self, stream: &StreamId, now: Instant) -> StreamInspection {
        let (subscription, lingers_until) = self.interest.subscription(stream);
        let state = self.streams.get(stream);
        StreamInspection {
            subscription,
            lingers: lingers_until.map(|until| until.saturating_duration_since(now)),
            head: state.and_then(|state| state.chain.head()),
            spoke_ago: state.and_then(|state| state.spoke).map(|spoke| now.saturating_duration_since(spoke)),
        }
    }
}
