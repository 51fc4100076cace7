//! The latencies of the last minute or two, for a person who looks at one pod. Dashboards read the histograms.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A minute is dropped whole when the next but one begins.
const MINUTE: Duration = Duration::from_secs(60);
/// Buckets for each doubling of the time: a quantile is at most a quarter too high.
const STEPS: u32 = 4;
/// From a microsecond to over an hour.
const BUCKETS: usize = 32 * STEPS as usize;

/// The usual points of the latencies of the last one to two minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantiles {
    /// How many there were.
    pub count: u64,
    /// Half of them took at most this.
    pub p50: Duration,
    /// 99 of 100 did.
    pub p99: Duration,
}

/// Latencies by size, in a minute that fills and the one before it: 2 KiB.
#[derive(Debug)]
pub(super) struct RollingHistogram {
    /// Guards the minutes; held for an addition.
    minutes: Mutex<HistogramPair>,
}

#[derive(Debug)]
struct HistogramPair {
    began: Instant,
    now: Box<[u64; BUCKETS]>,
    before: Box<[u64; BUCKETS]>,
}

impl Default for RollingHistogram {
    fn default() -> Self {
        let none = || Box::new([0; BUCKETS]);
        Self { minutes: Mutex::new(HistogramPair { began: Instant::now(), now: none(), before: none() }) }
    }
}

impl RollingHistogram {
    pub(super) fn record(&self, took: Duration) {
        let mut minutes = self.minutes.lock();
        minutes.turn(Instant::now());
        minutes.now[bucket(took)] += 1;
    }

    /// None if nothing happened.
    pub(super) fn quantiles(&self) -> Option<Quantiles> {
        let mut minutes = self.minutes.lock();
        minutes.turn(Instant::now());
        let counts: Vec<_> =
            minutes.now.iter().zip(&*minutes.before).map(|(now, before)| now + before).collect();
        drop(minutes);
        let count: u64 = counts.iter().sum();
        let at = |percent: u64| {
            let rank = (count * percent).div_ceil(100);
            let mut seen = 0;
            let reaches = |&(_, of): &(usize, &u64)| {
                seen += of;
                seen >= rank
            };
            counts.iter().enumerate().find(reaches).map_or(Duration::ZERO, |(bucket, _)| edge(bucket))
        };
        (count > 0).then(|| Quantiles { count, p50: at(50), p99: at(99) })
    }
}

impl HistogramPair {
    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.began);
        if passed >= MINUTE {
            std::mem::swap(&mut self.now, &mut self.before);
            self.now.fill(0);
            if passed >= MINUTE * 2 {
                self.before.fill(0);
            }
            self.began = now;
        }
    }
}

/// The bucket of a time: its doubling of a microsecond, in steps.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let doubling = micros.ilog2();
    // The two bits below the highest one.
    let step = ((micros << 2) >> doubling) & u64::from(STEPS - 1);
    let bucket = usize::try_from(u64::from(doubling * STEPS) + step).unwrap_or(BUCKETS);
    bucket.min(BUCKETS - 1)
}

/// The upper edge of a bucket.
fn edge(bucket: usize) -> Duration {
    let (doubling, step) = (bucket / STEPS as usize, bucket % STEPS as usize);
    let micros = (1_u64 << doubling) * (u64::from(STEPS) + step as u64 + 1) / u64::from(STEPS);
    Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_at_most_a_quarter_too_high() {
        for micros in [1, 2, 3, 7, 100, 1_000, 199_999, 200_000, 5_000_000, 3_000_000_000] {
            let lately = RollingHistogram::default();
            lately.record(Duration::from_micros(micros));
            let Quantiles { count, p50, p99 } = lately.quantiles().unwrap();
            assert_eq!((count, p50), (1, p99));
            let (low, high) = (Duration::from_micros(micros), Duration::from_micros(micros * 5 / 4 + 1));
            assert!((low..=high).contains(&p50), "{micros} µs became {p50:?}");
        }
    }

    #[test]
    fn the_tail_is_told_from_the_middle() {
        let lately = RollingHistogram::default();
        assert_eq!(lately.quantiles(), None);
        (0..97).for_each(|_| lately.record(Duration::from_millis(1)));
        (0..3).for_each(|_| lately.record(Duration::from_secs(1)));
        let Quantiles { count, p50, p99 } = lately.quantiles().unwrap();
        assert_eq!(count, 100);
        assert!(p50 < Duration::from_millis(2) && p99 >= Duration::from_secs(1), "{p50:?} {p99:?}");
        lately.record(Duration::MAX);
        assert_eq!(lately.quantiles().unwrap().count, 101);
    }

    #[test]
    fn a_minute_is_forgotten_after_the_next() {
        let lately = RollingHistogram::default();
        lately.record(Duration::from_millis(1));
        let began = lately.minutes.lock().began;
        let at = |passed: Duration| {
            lately.minutes.lock().turn(began + passed);
            lately.quantiles().map(|quantiles| quantiles.count)
        };
        assert_eq!(at(MINUTE), Some(1));
        assert_eq!(at(MINUTE * 2), None);
    }
}
