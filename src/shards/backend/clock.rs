//! A shard's clock, seen from this pod: entries carry the shard's time, and the clocks of pods differ.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use crate::{hub::Item, telemetry::Sli};

/// How many looks at the shard's clock count: the quickest of them is the truest. With one a second a clock that was
/// set is followed within this many seconds.
const LOOKS: usize = 10;

/// What is known of a shard's clock. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(in crate::shards) struct Clock(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How far the shard's clock is ahead of this pod's, in microseconds; 0 until it is known.
    ahead_us: AtomicI64,
    known: AtomicBool,
    /// Guards the last looks: how long each took, and what it showed.
    looks: Mutex<VecDeque<(Duration, i64)>>,
}

impl Clock {
    /// Takes the shard's time, in microseconds since the Unix epoch, which came so long after it was asked for.
    pub(in crate::shards) fn look(&self, shard_us: i64, took: Duration) {
        let asked_us = pod_us() - micros(took);
        let ahead = shard_us - (asked_us + micros(took / 2));
        let mut looks = self.0.looks.lock();
        if looks.len() == LOOKS {
            looks.pop_front();
        }
        looks.push_back((took, ahead));
        if let Some((_, truest)) = looks.iter().min() {
            self.0.ahead_us.store(*truest, Relaxed);
            self.0.known.store(true, Relaxed);
        }
    }

    /// Forgets the looks so far: the next one counts, whatever the last server's clock was.
    pub(in crate::shards) fn forget_looks(&self) {
        self.0.looks.lock().clear();
    }

    /// How far the shard's clock is ahead of this pod's, in microseconds, if that is known.
    pub(in crate::shards) fn ahead_us(&self) -> Option<i64> {
        self.0.known.load(Relaxed).then(|| self.0.ahead_us.load(Relaxed))
    }

    /// A time of this pod in the shard's time, both in milliseconds since the Unix epoch.
    pub(in crate::shards) fn of_shard(&self, pod_ms: u64) -> u64 {
        pod_ms.saturating_add_signed(self.0.ahead_us.load(Relaxed) / 1_000)
    }

    /// A time of the shard in this pod's time, both in milliseconds since the Unix epoch; `None` until the shard's clock is
    /// known.
    pub(in crate::shards) fn of_pod(&self, shard_ms: u64) -> Option<u64> {
        Some(shard_ms.saturating_add_signed(-(self.ahead_us()? / 1_000)))
    }

    /// Says of comments that have just come how old they are.
    pub(in crate::shards) fn age(&self, items: &mut [Item], sli: &Sli) {
        for item in items {
            if let Some(accepted_at_ms) = item.accepted_at_ms() {
                item.came_at_age(self.since(accepted_at_ms, sli));
            }
        }
    }

    /// How long ago a time of the shard is, in milliseconds since the Unix epoch. A time to come counts as now.
    pub(in crate::shards) fn since(&self, shard_ms: u64, sli: &Sli) -> Duration {
        let now_us = pod_us() + self.0.ahead_us.load(Relaxed);
        let age_us = now_us - i64::try_from(shard_ms).unwrap_or(0).saturating_mul(1_000);
        u64::try_from(age_us).map(Duration::from_micros).unwrap_or_else(|_| {
            sli.clock_was_negative();
            Duration::ZERO
        })
    }
}

/// This pod's time in microseconds since the Unix epoch.
fn pod_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros)
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::now_ms;

    const TWO_SECONDS: i64 = 2_000_000;

    #[test]
    fn the_quickest_of_the_last_looks_counts() {
        let clock = Clock::default();
        assert_eq!(clock.ahead_us(), None);
        clock.look(pod_us() + TWO_SECONDS, Duration::from_micros(100));
        let quick = clock.ahead_us().unwrap();
        assert!((quick - TWO_SECONDS).abs() < 100_000, "{quick}");
        clock.look(pod_us() + 5 * TWO_SECONDS, Duration::from_millis(500));
        assert_eq!(clock.ahead_us(), Some(quick));
        // A clock that was set is followed in the end.
        (0..LOOKS).for_each(|_| clock.look(pod_us() - TWO_SECONDS, Duration::from_millis(1)));
        assert!(clock.ahead_us().unwrap() < 0);
        // Another server has another clock.
        clock.forget_looks();
        clock.look(pod_us() + TWO_SECONDS, Duration::from_millis(500));
        assert!(clock.ahead_us().unwrap() > 0);
    }

    #[test]
    fn times_of_the_shard_are_told_in_its_own_time() {
        let (clock, sli) = (Clock::default(), Sli::default());
        clock.look(pod_us() - TWO_SECONDS, Duration::ZERO);
        let sent = clock.of_shard(now_ms());
        assert!(now_ms() - sent >= 1_999);
        assert!(
            now_ms().abs_diff(clock.of_pod(sent).unwrap()) < 1_000 && Clock::default().of_pod(sent).is_none()
        );
        assert!(clock.since(sent, &sli) < Duration::from_secs(1));
    }

    #[test]
    fn a_time_to_come_is_now_and_is_counted() {
        let (clock, sli) = (Clock::default(), Sli::default());
        assert_eq!(clock.since(now_ms() + 2_000, &sli), Duration::ZERO);
        assert!(sli.prometheus().contains("\nfanfare_clock_negative_total 1\n"));
    }
}
