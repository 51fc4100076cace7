//! A time in which nothing is asked of a shard that did not answer.

use std::time::Duration;

use tokio::time::Instant;

use crate::shards::backend::pause::Pauses;

/// Pauses after failures.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    pauses: Pauses,
    until: Option<Instant>,
}

impl Backoff {
    /// Records a failure; those that come during the pause which it begins belong to it. `random` is a number from 0
    /// to 1.
    pub(super) fn on_failure(&mut self, now: Instant, random: f64) {
        if !self.is_backing_off(now) {
            self.until = Some(now + self.pauses.next(Duration::ZERO, random));
        }
    }

    /// Records a success.
    pub(super) fn on_success(&mut self) {
        *self = Self::default();
    }

    /// Returns whether the pause goes on.
    pub(super) fn is_backing_off(&self, now: Instant) -> bool {
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
        assert!(!backoff.is_backing_off(now));
        (0..20).for_each(|_| backoff.on_failure(now, 1.0));
        assert!(
            !backoff.is_backing_off(now + Duration::from_millis(50)),
            "failures within a pause do not lengthen it"
        );
        backoff.on_failure(now, 1.0);
        backoff.on_success();
        assert!(!backoff.is_backing_off(now));
    }
}
