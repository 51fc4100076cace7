//! Whether a viewer is still there: a ping now and then, and something must come after it.

use std::time::Duration;

use tokio::time::Instant;

/// The longest time between two pings.
pub(super) const PING_EVERY: Duration = Duration::from_secs(25);
/// How soon after a ping anything at all must come.
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// When the next ping is due, or how long its answer may take.
pub(super) struct Pulse {
    pinged: bool,
    due: Instant,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing yet.
    Wait,
    /// Send a ping.
    Ping,
    /// The viewer is gone.
    Dead,
}

impl Pulse {
    pub(super) fn new(now: Instant) -> Self {
        Self { pinged: false, due: now + jittered() }
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// What is due now; `heard` tells whether anything came since the last time it was asked.
    pub(super) fn beat(&mut self, now: Instant, heard: impl FnOnce() -> bool) -> Beat {
        if now < self.due {
            return Beat::Wait;
        }
        let heard = heard();
        if self.pinged && !heard {
            return Beat::Dead;
        }
        if self.pinged {
            *self = Self { pinged: false, due: now + jittered().saturating_sub(PONG_WITHIN) };
            return Beat::Wait;
        }
        *self = Self { pinged: true, due: now + PONG_WITHIN };
        Beat::Ping
    }
}

/// Sockets that were opened together are not pinged together.
fn jittered() -> Duration {
    PING_EVERY.mul_f64(rand::random_range(0.8..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_that_answers_is_pinged_again_and_a_silent_one_is_dead() {
        let mut now = Instant::now();
        let mut pulse = Pulse::new(now);
        for _ in 0..5 {
            assert_eq!(pulse.beat(now, || true), Beat::Wait);
            let before = now;
            now = pulse.due();
            assert!(now - before <= PING_EVERY);
            assert_eq!(pulse.beat(now, || false), Beat::Ping);
            now = pulse.due();
            assert_eq!(pulse.beat(now, || true), Beat::Wait);
        }
        now = pulse.due();
        assert_eq!(pulse.beat(now, || true), Beat::Ping);
        now += PONG_WITHIN;
        assert_eq!(pulse.beat(now, || false), Beat::Dead);
    }
}
