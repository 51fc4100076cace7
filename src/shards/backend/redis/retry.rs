//! The waits between attempts to connect.

use std::time::Duration;

use tokio::{sync::watch, time::timeout};

use crate::shards::backend::pause::Pauses;

/// Counts how often a connection of a link was made after attempts that failed. Cloning shares the count.
#[derive(Debug, Clone, Default)]
pub(super) struct Recoveries(watch::Sender<u64>);

impl Recoveries {
    /// Lets every connection of the link that waits try at once.
    pub(super) fn announce(&self) {
        self.0.send_modify(|count| *count += 1);
    }
}

/// The waits of one connection: a pause that grows, cut short when another connection of the link recovers.
pub(super) struct Retry {
    pauses: Pauses,
    recoveries: Recoveries,
    /// The recoveries that were known at the beginning of the last attempt.
    known: watch::Receiver<u64>,
    is_failing: bool,
}

impl Retry {
    /// Waits that have not begun to grow.
    pub(super) fn new(pauses: Pauses, recoveries: Recoveries) -> Self {
        let known = recoveries.0.subscribe();
        Self { pauses, recoveries, known, is_failing: false }
    }

    /// Records the beginning of an attempt: a recovery from here on tells something that the attempt does not know.
    pub(super) fn begins(&mut self) {
        self.known.mark_unchanged();
    }

    /// Records that an attempt failed.
    pub(super) fn failed(&mut self) {
        self.is_failing = true;
    }

    /// Records that an attempt succeeded, and lets the link's other connections try at once if earlier ones failed.
    pub(super) fn succeeded(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            self.recoveries.announce();
        }
    }

    /// Waits before the next attempt; the last connection lived so long, or zero if it was never made.
    pub(super) async fn wait(&mut self, lived: Duration) {
        let pause = self.pauses.next(lived, rand::random());
        // This holds a sender itself, so that an end of the pause is the only other outcome.
        let _ = timeout(pause, self.known.changed()).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    async fn fails(retry: &mut Retry, attempts: u32) -> Duration {
        let mut longest = Duration::ZERO;
        for _ in 0..attempts {
            retry.begins();
            retry.failed();
            let began = Instant::now();
            retry.wait(Duration::ZERO).await;
            longest = longest.max(began.elapsed());
        }
        longest
    }

    /// Symptom: after a Redis was frozen for 20 s, deliveries resumed up to 4.2 s after it answered again.
    /// Cause: every connection slept for a random time of up to 5 s between two attempts.
    #[tokio::test(start_paused = true)]
    async fn g9_a_shard_that_answers_again_is_tried_within_a_second() {
        let mut first = Retry::new(Pauses::of_first(), Recoveries::default());
        assert!(fails(&mut first, 500).await < Duration::from_secs(1));
    }

    /// The other connections leave a dead shard alone for longer, and follow the first one that recovers at once.
    #[tokio::test(start_paused = true)]
    async fn g9_when_one_connection_recovers_the_others_are_tried_at_once() {
        let recoveries = Recoveries::default();
        let mut first = Retry::new(Pauses::of_first(), recoveries.clone());
        let mut other = Retry::new(Pauses::default(), recoveries);
        fails(&mut first, 1).await;
        assert!(fails(&mut other, 500).await > Duration::from_secs(1), "pauses grow");
        // Whether the other one waits already, or its attempt ends in vain just after the recovery.
        for is_waiting in [true, false] {
            let began = Instant::now();
            other.begins();
            first.begins();
            let recover = async {
                tokio::task::yield_now().await;
                first.failed();
                first.succeeded();
            };
            if is_waiting {
                tokio::join!(other.wait(Duration::ZERO), recover);
            } else {
                recover.await;
                other.wait(Duration::ZERO).await;
            }
            assert_eq!(began.elapsed(), Duration::ZERO, "is waiting: {is_waiting}");
        }
    }

    /// A connection that is made and lost again and again wakes no other: two such ones would keep each other busy.
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_failed_to_be_made_wakes_no_other() {
        let recoveries = Recoveries::default();
        let mut flapping = Retry::new(Pauses::of_first(), recoveries.clone());
        let mut other = Retry::new(Pauses::default(), recoveries);
        other.begins();
        flapping.begins();
        flapping.succeeded();
        assert!(!other.known.has_changed().unwrap());
    }
}
