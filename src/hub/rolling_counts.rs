//! What became of a stream's deliveries lately, so that one stream's trouble does not drown in the average.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long ago "lately" ends.
pub const LATELY: Duration = Duration::from_secs(60);

/// Live comments of one stream to its viewers, or of several streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// Written to viewers' sockets.
    pub delivered: u64,
    /// Of these, those that came too late for the service level.
    pub late: u64,
    /// Left out because the viewer, or its lane, was too slow.
    pub skipped: u64,
}

/// The activity of the last minute, in a minute that fills and the one before it: 72 bytes a stream.
#[derive(Debug)]
pub(super) struct RollingCounts {
    /// Guards the two minutes; held for an addition. Each lane takes it once a slice of seats.
    minutes: Mutex<CountPair>,
}

#[derive(Debug)]
struct CountPair {
    began: Instant,
    now: Activity,
    before: Activity,
}

impl Activity {
    /// How much of it harmed the service level.
    #[must_use]
    pub const fn trouble(&self) -> u64 {
        self.late + self.skipped
    }

    const fn is_none(&self) -> bool {
        self.delivered + self.trouble() == 0
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            delivered: self.delivered + other.delivered,
            late: self.late + other.late,
            skipped: self.skipped + other.skipped,
        }
    }

    /// The share of it that some of [`LATELY`] takes.
    fn share(self, of: Duration) -> Self {
        let share = |count: u64| {
            let micros = u128::from(count) * of.as_micros() / LATELY.as_micros();
            u64::try_from(micros).unwrap_or(u64::MAX)
        };
        Self { delivered: share(self.delivered), late: share(self.late), skipped: share(self.skipped) }
    }
}

impl RollingCounts {
    /// A stream that was heard of just now.
    pub(super) fn new(now: Instant) -> Self {
        let none = Activity::default();
        Self { minutes: Mutex::new(CountPair { began: now, now: none, before: none }) }
    }

    /// Takes note of some deliveries.
    pub(super) fn add(&self, activity: Activity, now: Instant) {
        if !activity.is_none() {
            let mut minutes = self.minutes.lock();
            minutes.turn(now);
            minutes.now = minutes.now.plus(activity);
        }
    }

    /// The activity of the last minute: what the present one holds, and of the one before it as much as is missing.
    pub(super) fn activity(&self, now: Instant) -> Activity {
        let mut minutes = self.minutes.lock();
        minutes.turn(now);
        let passed = now.saturating_duration_since(minutes.began);
        minutes.now.plus(minutes.before.share(LATELY.saturating_sub(passed)))
    }
}

impl CountPair {
    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.began);
        if passed >= LATELY {
            let whole = passed < LATELY * 2;
            self.before = if whole { self.now } else { Activity::default() };
            self.began = if whole { self.began + LATELY } else { now };
            self.now = Activity::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Activity = Activity { delivered: 0, late: 0, skipped: 0 };

    fn some(delivered: u64) -> Activity {
        Activity { delivered, late: delivered / 10, skipped: 1 }
    }

    #[test]
    fn what_was_lately_fades_within_two_minutes() {
        let start = Instant::now();
        let recent = RollingCounts::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(recent.activity(start), NONE);
        recent.add(some(600), at(30));
        assert_eq!(recent.activity(at(59)), some(600));
        // Half of the minute before belongs to the last sixty seconds.
        assert_eq!(recent.activity(at(90)).delivered, 300);
        recent.add(some(60), at(90));
        assert_eq!(recent.activity(at(90)), Activity { delivered: 360, late: 36, skipped: 1 });
        assert_eq!(recent.activity(at(120)), some(60));
        assert_eq!(recent.activity(at(180)), NONE);
    }

    #[test]
    fn a_stream_pays_72_bytes() {
        assert!(size_of::<RollingCounts>() <= 72, "{}", size_of::<RollingCounts>());
    }

    #[test]
    fn a_stream_that_was_silent_for_long_has_nothing_of_before() {
        let start = Instant::now();
        let recent = RollingCounts::new(start);
        recent.add(some(600), start);
        let later = start + Duration::from_secs(600);
        recent.add(some(10), later);
        assert_eq!(recent.activity(later), some(10));
        assert_eq!(recent.activity(later + Duration::from_secs(30)), some(10));
    }
}
