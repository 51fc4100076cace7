//! The streams that a keeper has to compare with their shard, and the times at which it does.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::domain::StreamId;

/// How long a stream is quiet before it is audited: a lost last message is found so.
pub(super) const QUIET: Duration = Duration::from_secs(10);
/// The most streams whose heads are asked for at once.
const HEADS: usize = 500;

/// Streams whose head has to be compared with the shard's, and when.
pub(super) struct Comparisons {
    /// Streams to compare, each once.
    due: VecDeque<StreamId>,
    is_under_way: bool,
    /// Streams that spoke, by the time at which they may have been quiet for long enough; each once.
    audits: VecDeque<(Instant, StreamId)>,
    /// How often every stream is compared, so that the shard keeps the history of one that is watched in silence.
    all_every: Duration,
    all_at: Instant,
}

impl Comparisons {
    pub(super) fn new(all_every: Duration, now: Instant) -> Self {
        let (due, audits, all_at) = (VecDeque::new(), VecDeque::new(), now + all_every);
        Self { due, is_under_way: false, audits, all_every, all_at }
    }

    /// Has a stream that spoke at this time audited once it was quiet for long enough.
    pub(super) fn audit(&mut self, stream: StreamId, spoke: Instant) {
        self.audits.push_back((spoke + QUIET, stream));
    }

    /// Has a stream compared; the caller sees to it that none stands here twice.
    pub(super) fn push(&mut self, stream: StreamId) {
        self.due.push_back(stream);
    }

    /// Records that the call that [`Self::begin`] began was answered, or failed.
    pub(super) const fn end(&mut self) {
        self.is_under_way = false;
    }

    /// Returns whether every stream is to be compared, which begins the time to the next such comparison.
    pub(super) fn all_are_due(&mut self, now: Instant) -> bool {
        let are_due = now >= self.all_at;
        if are_due {
            self.all_at = now + self.all_every;
        }
        are_due
    }

    pub(super) fn next_audit(&mut self, now: Instant) -> Option<StreamId> {
        let is_due = self.audits.front().is_some_and(|(due, _)| *due <= now);
        if is_due { self.audits.pop_front().map(|(_, stream)| stream) } else { None }
    }

    /// The streams of the next call, if one is due.
    pub(super) fn begin(&mut self) -> Option<Vec<StreamId>> {
        let is_due = !self.is_under_way && !self.due.is_empty();
        self.is_under_way |= is_due;
        is_due.then(|| self.due.drain(..self.due.len().min(HEADS)).collect())
    }
}
