//! The streams that the hub asks to look at again, for each shard's keeper.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::ring::Ring;
use crate::{domain::StreamId, hub::Nudge, shards::routing::address::ShardAddress};

/// Sorts the hub's nudges by the shards that own the streams. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Nudges(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ring: Ring,
    /// One a shard, in the order of the list.
    dirty: Box<[Dirty]>,
}

/// The streams of one shard to look at again: however often a stream is nudged, it is looked at once.
#[derive(Debug, Clone, Default)]
pub(in crate::shards) struct Dirty(Arc<NudgedStreams>);

#[derive(Debug, Default)]
struct NudgedStreams {
    /// Guards the set; held for an insertion or a swap. A stream stands in it once, so it is bounded by the streams.
    streams: Mutex<HashSet<StreamId>>,
    some: Notify,
}

impl Nudges {
    /// For a list of shards; an empty one stands for the embedded shard.
    #[must_use]
    pub fn new(shards: &[ShardAddress]) -> Self {
        let ring = Ring::new(shards.iter().map(|shard| (shard.name.as_str(), shard.weight)));
        let dirty = std::iter::repeat_with(Dirty::default).take(shards.len().max(1)).collect();
        Self(Arc::new(Inner { ring, dirty }))
    }

    /// The ring that sorts.
    pub(in crate::shards) fn ring(&self) -> &Ring {
        &self.0.ring
    }

    /// One shard's share.
    pub(in crate::shards) fn of_shard(&self, shard: usize) -> Dirty {
        self.0.dirty.get(shard).cloned().unwrap_or_default()
    }
}

impl Nudge for Nudges {
    fn nudge(&self, stream: &StreamId) {
        if let Some(Dirty(dirty)) = self.0.dirty.get(self.0.ring.owner(stream))
            && dirty.streams.lock().insert(stream.clone())
        {
            dirty.some.notify_one();
        }
    }
}

impl Dirty {
    /// Waits for nudges and takes them all.
    pub(in crate::shards) async fn take(&self) -> HashSet<StreamId> {
        loop {
            let streams = std::mem::take(&mut *self.0.streams.lock());
            if !streams.is_empty() {
                return streams;
            }
            self.0.some.notified().await;
        }
    }
}
