//! The thresholds of the load.

use std::time::Duration;

/// Times of staying are up to so much longer on some pods, so that pods of one load do not act at once.
const JITTER: f64 = 0.2;

/// When the load counts as high and as low.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Above it the pod gets hot.
    pub high: f64,
    /// Below it the pod gets cool.
    pub low: f64,
    /// For how long the load is above `high` before the pod refuses.
    pub hot_for: Duration,
    /// For how long it is below `low` before the pod takes viewers again.
    pub cool_for: Duration,
}

impl Thresholds {
    /// The same, with this pod's own jitter.
    pub(super) fn jittered(self) -> Self {
        let longer = |time: Duration| time.mul_f64(rand::random_range(1.0..1.0 + JITTER));
        Self { hot_for: longer(self.hot_for), cool_for: longer(self.cool_for), ..self }
    }
}
