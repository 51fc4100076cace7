//! What a keeper says about one of its streams when a person asks.

use tokio::time::Instant;

use super::{
    super::questions::{Hearing, Question},
    Keeper,
};

impl Keeper {
    pub(super) fn explain(&self, Question { stream, answer }: Question) {
        let now = Instant::now();
        let (subscription, lingers_until) = self.interest.subscription(&stream);
        let kept = self.streams.get(&stream);
        // Whoever asked may have gone.
        let _ = answer.send(Hearing {
            subscription,
            lingers: lingers_until.map(|until| until.saturating_duration_since(now)),
            head: kept.and_then(|kept| kept.chain.head()),
            spoke_ago: kept.and_then(|kept| kept.spoke).map(|spoke| now.saturating_duration_since(spoke)),
        });
    }
}
