//! How long a viewer waits from its handshake to its first frames.

use tokio::time::Instant;

use super::catchup::{Catchup, Next};
use crate::telemetry::{JoinSource, Sli};

/// A viewer that arrives: it has when `hello`, and what follows it at once, are written.
pub(super) struct Arrival<'a> {
    sli: &'a Sli,
    since: Instant,
    source: JoinSource,
    /// Frames that were queued, `hello` first.
    frames: usize,
    /// Whether the stream's frames come from the lane already.
    live: bool,
    is_over: bool,
}

impl<'a> Arrival<'a> {
    pub(super) fn new(sli: &'a Sli, since: Instant) -> Self {
        Self { sli, since, source: JoinSource::Tape, frames: 0, live: false, is_over: false }
    }

    /// Takes note of the frames of a step.
    pub(super) fn stepped(&mut self, frames: usize, next: &Next) {
        match next {
            // No `hello` yet, at most a word of comfort.
            Next::Step(Catchup::Closed { .. } | Catchup::Begin { .. }) => {}
            Next::Step(Catchup::Behind(_)) if self.frames == 0 => {
                self.source = JoinSource::History;
                self.frames += frames;
            }
            Next::Step(Catchup::Behind(_) | Catchup::OnTape(_)) => self.frames += frames,
            Next::Live(_) => self.live = true,
        }
    }

    /// Everything that was queued is written.
    pub(super) fn written(&mut self) {
        if !self.is_over && (self.frames > 1 || self.live) {
            self.is_over = true;
            self.sli.joined(self.source, self.since.elapsed());
        }
    }
}

/// Who goes before it has arrived has been kept waiting, perhaps for too long.
impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.sli.abandoned(self.since.elapsed());
        }
    }
}
