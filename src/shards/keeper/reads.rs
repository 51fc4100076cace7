//! The reads of histories that a keeper makes: as many at once as the shard answers in time, and those that failed again
//! after a pause.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::backoff::Backoff;
use crate::{domain::StreamId, shards::backend::types::SliceRange};

/// The most history reads under way at once.
const MOST_AT_ONCE: usize = 64;

/// A part of a stream's history to read.
#[derive(Debug, Clone)]
pub(in crate::shards) struct Read {
    pub(in crate::shards) stream: StreamId,
    /// Tells the stream from an earlier one of the name.
    pub(in crate::shards) generation: u64,
    pub(in crate::shards) span: SliceRange,
}

/// What is to be read. A stream has at most one read, so it is bounded by the streams.
pub(in crate::shards) struct Reads {
    due: VecDeque<Read>,
    under_way: usize,
    /// How many may be under way. A shard that answers none of 64 in time, after a restart when every pod reads, may
    /// answer fewer: a failure halves it, each success adds one.
    at_once: usize,
    /// Reads that failed, to be made anew after the pause: what did not fail yet waits for nothing.
    failed: Vec<Read>,
    pause: Backoff,
}

impl Default for Reads {
    fn default() -> Self {
        Self {
            due: VecDeque::new(),
            under_way: 0,
            at_once: MOST_AT_ONCE,
            failed: Vec::new(),
            pause: Backoff::default(),
        }
    }
}

impl Reads {
    /// Asks for a read.
    pub(in crate::shards) fn ask(&mut self, stream: StreamId, generation: u64, span: SliceRange) {
        self.due.push_back(Read { stream, generation, span });
    }

    /// The next read to make, if another one may be under way.
    pub(in crate::shards) fn begin(&mut self) -> Option<Read> {
        let read = if self.under_way < self.at_once { self.due.pop_front() } else { None };
        self.under_way += usize::from(read.is_some());
        read
    }

    /// Records that a read was answered, one way or the other.
    pub(in crate::shards) fn on_completed(&mut self) {
        self.under_way -= 1;
    }

    /// Records a success: the shard can be read.
    pub(in crate::shards) fn on_success(&mut self) {
        self.pause.on_success();
        self.at_once = MOST_AT_ONCE.min(self.at_once + 1);
    }

    /// Records a failure; those that come during the pause which it begins belong to it. `random` is a number from 0
    /// to 1.
    pub(in crate::shards) fn on_failure(&mut self, now: Instant, random: f64) {
        if !self.is_backing_off(now) {
            self.at_once = self.at_once.div_ceil(2);
        }
        self.pause.on_failure(now, random);
    }

    /// Keeps a failed read until the end of the pause.
    pub(in crate::shards) fn retry_later(&mut self, read: Read) {
        self.failed.push(read);
    }

    /// Returns whether failed reads have to wait.
    pub(in crate::shards) fn is_backing_off(&self, now: Instant) -> bool {
        self.pause.is_backing_off(now)
    }

    /// The reads that failed.
    pub(in crate::shards) fn take_failed(&mut self) -> Vec<Read> {
        std::mem::take(&mut self.failed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn asked(streams: usize) -> Reads {
        let mut reads = Reads::default();
        for stream in 0..streams {
            reads.ask(format!("stream-{stream}").parse().unwrap(), 1, SliceRange::WHOLE);
        }
        reads
    }

    fn begun(reads: &mut Reads) -> usize {
        std::iter::from_fn(|| reads.begin()).count()
    }

    #[test]
    fn fewer_are_under_way_at_a_shard_that_does_not_answer_and_more_again_once_it_does() {
        let (mut reads, mut now) = (asked(1_000), Instant::now());
        for most in [64, 32, 16, 8, 4, 2, 1, 1] {
            assert_eq!(begun(&mut reads), most);
            for _ in 0..most {
                reads.on_completed();
                reads.on_failure(now, 1.0);
            }
            now += Duration::from_secs(60);
        }
        for most in [1, 2, 4, 8, 16, 32, 64, 64] {
            assert_eq!(begun(&mut reads), most);
            for _ in 0..most {
                reads.on_completed();
                reads.on_success();
            }
        }
    }
}
