//! The streams that the hub asks to look at again.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{domain::StreamId, hub::Nudge};

/// A set of streams to look at again: however often a stream is nudged, it is looked at once. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Nudges(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Guards the set; held for an insertion or a swap. A stream stands in it once, so it is bounded by the streams.
    streams: Mutex<HashSet<StreamId>>,
    some: Notify,
}

impl Nudge for Nudges {
    fn nudge(&self, stream: &StreamId) {
        if self.0.streams.lock().insert(stream.clone()) {
            self.0.some.notify_one();
        }
    }
}

impl Nudges {
    /// Waits for nudges and takes them all.
    pub(super) async fn take(&self) -> HashSet<StreamId> {
        loop {
            let streams = std::mem::take(&mut *self.0.streams.lock());
            if !streams.is_empty() {
                return streams;
            }
            self.0.some.notified().await;
        }
    }
}
