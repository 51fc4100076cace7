//! How long to leave a shard alone that did not answer.

use std::time::Duration;

use tokio::time::Instant;

const LEAST: Duration = Duration::from_millis(50);
const MOST: Duration = Duration::from_secs(5);

/// Exponential back-off with full jitter: the pods that lost a shard together do not come back to it together.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// Takes note of a failure; those that come during the pause which it begins belong to it.
    pub(super) fn failed(&mut self, now: Instant) {
        if !self.pauses(now) {
            let most = LEAST.saturating_mul(1 << self.failures.min(7)).min(MOST);
            self.failures += 1;
            self.until = Some(now + most.mul_f64(rand::random()));
        }
    }

    /// Takes note of a success.
    pub(super) fn worked(&mut self) {
        *self = Self::default();
    }

    /// Whether to wait still.
    pub(super) fn pauses(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_end_with_a_success() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        for _ in 0..40 {
            backoff.failed(now);
            now += MOST;
            assert!(!backoff.pauses(now));
        }
        backoff.failed(now);
        backoff.worked();
        assert!(!backoff.pauses(now));
    }
}
