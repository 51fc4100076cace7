//! Counting viewers over all pods: the shard is told who watches here, and viewers how many they are in all.

use std::sync::atomic::Ordering::Relaxed;

use tokio::time::Instant;

use super::{Done, Keeper};
use crate::{
    domain::StreamId,
    shards::{
        census::Call,
        shard::{Counted, Unavailable},
    },
};

impl Keeper {
    /// Tells viewers how many they are, where that changed, and begins to tell the shard.
    pub(super) fn census_round(&mut self, now: Instant) {
        for (stream, kept) in &mut self.streams {
            let viewers = self.hub.viewers(stream);
            if std::mem::replace(&mut kept.told_viewers, viewers) != viewers {
                self.hub.tell_viewers(stream, viewers);
            }
        }
        self.census.round(self.streams.keys(), |stream| self.hub.viewers_here(stream), now);
        self.report.counts.store(self.census.counts(), Relaxed);
    }

    /// Makes the next call of the census, if it is due.
    pub(super) fn count(&mut self, now: Instant) {
        if let Some(call) = self.census.next_call(|stream| self.hub.viewers_here(stream), now) {
            self.call(call);
        }
    }

    /// Streams that are about to be opened are counted first, on the same connection: whoever waits for one is greeted
    /// with how many watch it elsewhere.
    pub(super) fn count_before_opening(&mut self, granted: &[StreamId]) {
        let opens =
            |stream: &&StreamId| self.streams.get(*stream).is_none_or(|kept| kept.chain.head().is_none());
        let opening: Vec<_> = granted.iter().filter(opens).cloned().collect();
        for call in self.census.extra_calls(&opening, |stream| self.hub.viewers_here(stream)) {
            self.call(call);
        }
    }

    fn call(&mut self, call: Call) {
        let shard = self.shard.clone();
        self.under_way.push(Box::pin(async move {
            let answer = shard.count(&call.counts, call.keeps).await;
            Done::Counted(call, answer)
        }));
    }

    pub(super) fn counted(&mut self, call: Call, answer: Result<Counted, Unavailable>, now: Instant) {
        for (stream, elsewhere) in self.census.answered(call, answer, now) {
            // What comes as a message is newer than any answer that may come after it.
            if let Some(kept) = self.streams.get_mut(&stream)
                && !std::mem::replace(&mut kept.knows_elsewhere, true)
            {
                self.hub.watched_elsewhere(&stream, elsewhere);
            }
        }
        self.report.counts.store(self.census.counts(), Relaxed);
    }

    /// The shard tells how many watch streams on other pods.
    pub(super) fn elsewhere(&mut self, told: Vec<(StreamId, u64)>) {
        for (stream, elsewhere) in told {
            let Some(kept) = self.streams.get_mut(&stream) else { continue };
            let before = self.hub.viewers(&stream).saturating_sub(self.hub.viewers_here(&stream));
            if self.census.believes(elsewhere, before) {
                kept.knows_elsewhere = true;
                self.hub.watched_elsewhere(&stream, elsewhere);
            }
        }
    }
}
