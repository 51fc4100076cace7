//! A time in which nothing is asked of a shard that did not answer.

use std::time::Duration;

use tokio::time::Instant;

use super::pause::Pauses;

/// Pauses after failures.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    pauses: Pauses,
    until: Option<Instant>,
}

impl Backoff {
    /// Takes note of a failure; those that come during the pause which it begins belong to it.
    pub(super) fn failed(&mut self, now: Instant) {
        if !self.pauses(now) {
            self.until = Some(now + self.pauses.next(Duration::ZERO));
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
    fn a_pause_ends_with_its_time_or_a_success() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        assert!(!backoff.pauses(now));
        (0..20).for_each(|_| backoff.failed(now));
        assert!(
            !backoff.pauses(now + Duration::from_millis(50)),
            "failures within a pause do not lengthen it"
        );
        backoff.failed(now);
        backoff.worked();
        assert!(!backoff.pauses(now));
    }
}
