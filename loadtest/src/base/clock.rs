//! The run's clock: microseconds since the run began, on the machine's monotonic clock, the same in every process.

use std::time::Duration;

use tokio::time::Instant;

use super::proc;

/// Copied freely; every part of a run reads the same one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// The clock of a run that began at this reading of `proc::monotonic_us`.
    pub(crate) fn since(epoch_us: u64) -> Self {
        let past = Duration::from_micros(proc::monotonic_us().saturating_sub(epoch_us));
        let now = Instant::now();
        Self(now.checked_sub(past).unwrap_or(now))
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
