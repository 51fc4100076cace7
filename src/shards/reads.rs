//! The reads of histories that a keeper makes: so many at once, and those that failed again after a pause.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{backoff::Backoff, shard::Span};
use crate::domain::StreamId;

/// The most history reads under way at once.
const AT_ONCE: usize = 64;

/// A part of a stream's history to read.
pub(super) struct Read {
    pub(super) stream: StreamId,
    /// Tells the stream from an earlier one of the name.
    pub(super) life: u64,
    pub(super) span: Span,
}

/// What is to be read. A stream has at most one read, so it is bounded by the streams.
#[derive(Default)]
pub(super) struct Reads {
    due: VecDeque<Read>,
    under_way: usize,
    /// Reads that failed, to be made anew after the pause: what did not fail yet waits for nothing.
    failed: Vec<Read>,
    pause: Backoff,
}

impl Reads {
    /// Asks for a read.
    pub(super) fn ask(&mut self, stream: StreamId, life: u64, span: Span) {
        self.due.push_back(Read { stream, life, span });
    }

    /// The next read to make, if another one may be under way.
    pub(super) fn begin(&mut self) -> Option<Read> {
        let read = if self.under_way < AT_ONCE { self.due.pop_front() } else { None };
        self.under_way += usize::from(read.is_some());
        read
    }

    /// Takes note that a read was answered, one way or the other.
    pub(super) fn ended(&mut self) {
        self.under_way -= 1;
    }

    /// Takes note of a success: the shard can be read.
    pub(super) fn worked(&mut self) {
        self.pause.worked();
    }

    /// Takes note of a failure.
    pub(super) fn did_not_work(&mut self, now: Instant) {
        self.pause.failed(now);
    }

    /// Keeps a read that failed for the end of the pause.
    pub(super) fn put_off(&mut self, read: Read) {
        self.failed.push(read);
    }

    /// Whether what failed has to wait still.
    pub(super) fn pauses(&self, now: Instant) -> bool {
        self.pause.pauses(now)
    }

    /// The reads that failed.
    pub(super) fn take_failed(&mut self) -> Vec<Read> {
        std::mem::take(&mut self.failed)
    }
}
