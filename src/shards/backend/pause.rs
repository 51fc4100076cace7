//! How long to leave a shard alone that does not answer.

use std::time::Duration;

/// The longest first pause.
const SHORTEST: Duration = Duration::from_millis(50);
/// The longest pause of all.
const LONGEST: Duration = Duration::from_secs(5);
/// The longest pause of the first connection to a shard: with the time to connect and subscribe it makes the second
/// within which deliveries resume.
const LONGEST_OF_FIRST: Duration = Duration::from_millis(800);
/// A connection that lived so long shows that the shard can be used.
pub(in crate::shards) const PROVEN: Duration = Duration::from_millis(500);

/// Pauses that grow while connections fail or die young, each random as a whole ("full jitter"), so that the pods that
/// a shard lost at one moment do not return at one moment.
#[derive(Debug)]
pub(in crate::shards) struct Pauses {
    ceiling: Duration,
    longest: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { ceiling: SHORTEST, longest: LONGEST }
    }
}

impl Pauses {
    /// Pauses of the connection that finds out whether a shard answers again; the others follow it.
    pub(in crate::shards) fn of_first() -> Self {
        Self { longest: LONGEST_OF_FIRST, ..Self::default() }
    }

    /// Returns the next pause, after a connection that lived so long; zero if it was never made. `random` is a number
    /// from 0 to 1.
    pub(in crate::shards) fn next(&mut self, lived: Duration, random: f64) -> Duration {
        if lived >= PROVEN {
            self.ceiling = SHORTEST;
        }
        let pause = self.ceiling.mul_f64(random);
        self.ceiling = (self.ceiling * 2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_seconds_and_a_proven_connection_resets_them() {
        let mut pauses = Pauses::default();
        let mut ceiling = SHORTEST;
        for _ in 0..20 {
            assert_eq!(pauses.next(Duration::ZERO, 1.0), ceiling);
            ceiling = (ceiling * 2).min(LONGEST);
        }
        assert_eq!(pauses.ceiling, LONGEST);
        assert_eq!(pauses.next(PROVEN, 1.0), SHORTEST);
    }

    #[test]
    fn pauses_are_random_as_a_whole() {
        let longest = || Pauses { ceiling: LONGEST, ..Pauses::default() };
        for random in [0.0, 0.25, 0.75, 1.0] {
            assert_eq!(longest().next(Duration::ZERO, random), LONGEST.mul_f64(random));
        }
    }
}
