//! The run's clock: microseconds since the run began, on the monotonic clock.

use std::time::Duration;

use tokio::time::Instant;

/// Copied freely; every part of a run reads the same one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now_us(self) -> u64 {
        micros(self.0.elapsed())
    }

    /// The instant at this many microseconds.
    pub(crate) fn at(self, us: u64) -> Instant {
        self.0 + Duration::from_micros(us)
    }
}

/// A duration in whole microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
