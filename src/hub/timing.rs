//! How long comments are under way to viewers: a few bits a batch, so that a delivery costs no look at the clock.

use std::time::Duration;

use tokio::time::Instant;

use super::{item::Live, mark::Mark, rolling_counts::Activity};
use crate::{domain::StreamId, telemetry::Sli};

/// The most frames of a batch: each has a bit in a word.
pub(super) const MAX_FRAMES: usize = 64;

/// When the comments of a batch were accepted and came here, and which of them are late by now.
#[derive(Debug, Default)]
pub(super) struct Timing {
    /// One for each frame; none for a frame that is no live comment.
    frames: Vec<Option<(Instant, Live)>>,
    /// The frames that are live comments, the first one's bit lowest.
    live: u64,
    /// Of these, those that were late at the last look at the clock.
    late: u64,
}

/// The bits of the frames between two places in a batch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameRange(u64);

impl FrameRange {
    pub(super) const NONE: Self = Self(0);

    /// The frames from `from` up to `to` of a batch that begins at `first`.
    pub(super) fn between(first: Mark, from: Mark, to: Mark) -> Self {
        Self(below(to.index.saturating_sub(first.index)) & !below(from.index.saturating_sub(first.index)))
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Live comments, as one viewer or some saw them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeliveryStats {
    /// Written.
    pub(super) delivered: u64,
    /// Of these, those that were late.
    pub(super) late: u64,
    /// Left out.
    pub(super) skipped: u64,
    /// Which frames of the present batch were written.
    pub(super) span: FrameRange,
}

impl DeliveryStats {
    pub(super) const ZERO: Self = Self { delivered: 0, late: 0, skipped: 0, span: FrameRange::NONE };

    /// What it means for the stream.
    pub(super) const fn activity(&self) -> Activity {
        Activity { delivered: self.delivered, late: self.late, skipped: self.skipped }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.late += other.late;
        self.skipped += other.skipped;
        self.span = self.span.and(other.span);
    }
}

/// A word with so many of its lowest bits set.
fn below(bits: u64) -> u64 {
    u32::try_from(bits).ok().and_then(|bits| 1_u64.checked_shl(bits)).map_or(u64::MAX, |bit| bit - 1)
}

impl Timing {
    /// Takes what is known of a batch's frames.
    pub(super) fn take(&mut self, frames: impl Iterator<Item = Option<(Instant, Live)>>) {
        self.frames.clear();
        self.frames.extend(frames.take(MAX_FRAMES));
        self.live = self.bits(|_, _| true);
        self.late = 0;
    }

    /// Looks which comments take longer than the objective; once a slice of seats, which takes about half a millisecond.
    pub(super) fn judge(&mut self, now: Instant, objective: Duration) {
        self.late = self.bits(|came, live| live.age + since(came, now) > objective);
    }

    fn bits(&self, has: impl Fn(Instant, &Live) -> bool) -> u64 {
        let bit = |(n, frame): (usize, &Option<(Instant, Live)>)| {
            u64::from(frame.as_ref().is_some_and(|(came, live)| has(*came, live))) << n
        };
        self.frames.iter().enumerate().map(bit).fold(0, |word, bit| word | bit)
    }

    /// What it means that these frames were written to a viewer.
    pub(super) fn tally(&self, FrameRange(span): FrameRange) -> DeliveryStats {
        let count = |word: u64| u64::from((word & span).count_ones());
        DeliveryStats {
            delivered: count(self.live),
            late: count(self.late),
            skipped: 0,
            span: FrameRange(span),
        }
    }

    /// Measures the comments among these frames, which were now written to the last prompt seat of a lane.
    pub(super) fn measure(&self, FrameRange(span): FrameRange, stream: &StreamId, sli: &Sli) {
        if self.live & span == 0 {
            return;
        }
        let now = Instant::now();
        for (n, frame) in self.frames.iter().enumerate() {
            if let Some((came, live)) = frame.as_ref().filter(|_| span & (1 << n) != 0) {
                let since_came = since(*came, now);
                let latency = live.age + since_came;
                sli.written(live.priority, latency, since_came);
                if let Some(traced) = &live.traced {
                    traced.written(stream, latency, since_came);
                }
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.take(std::iter::empty());
    }
}

fn since(came: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(came)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(index: u64) -> Mark {
        Mark { index, ..Mark::ZERO }
    }

    #[test]
    fn a_span_has_a_bit_for_each_frame_between_its_places() {
        assert_eq!(FrameRange::between(mark(10), mark(10), mark(13)), FrameRange(0b111));
        assert_eq!(FrameRange::between(mark(10), mark(12), mark(13)), FrameRange(0b100));
        assert_eq!(FrameRange::between(mark(10), mark(13), mark(13)), FrameRange(0));
        assert_eq!(FrameRange::between(mark(10), mark(0), mark(74)), FrameRange(u64::MAX));
        assert_eq!(FrameRange::between(mark(10), mark(11), mark(74)), FrameRange(u64::MAX - 1));
    }
}
