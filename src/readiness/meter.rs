//! The load: processor time over what the pod may use, as a mean of the last seconds.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;
use tokio::time::Instant;

use super::cgroup::{CgroupLimits, QuotaSource};

/// Over how long the load is averaged.
const WINDOW: Duration = Duration::from_secs(5);

/// One reading of the pod's load.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reading {
    /// The process's share of the processor time that it may use; 1 is all of it. Mean over 5 s.
    pub cpu: f64,
    /// How many processors' time it may use.
    pub quota: f64,
    /// Where that comes from.
    pub quota_source: QuotaSource,
    /// For how long the kernel held it back within these 5 s, in milliseconds.
    pub throttled_ms: u64,
    /// The used share of its limit of memory; none without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<f64>,
    /// A cgroup's file that could not be understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_fault: Option<String>,
}

/// Makes readings of counters that only grow.
#[derive(Debug, Default)]
pub(super) struct Meter {
    marks: VecDeque<LoadCounters>,
}

/// The counters at a moment.
#[derive(Debug, Clone, Copy)]
struct LoadCounters {
    at: Instant,
    cpu_time: Duration,
    /// Seconds of the whole quota used so far: a quota that changes counts from then on only.
    used_s: f64,
    throttled: Duration,
}

impl Meter {
    /// Takes the counters of this moment.
    pub(super) fn note(&mut self, at: Instant, cpu_time: Duration, limits: CgroupLimits) -> Reading {
        let used_s = self.marks.back().map_or(0.0, |last| {
            last.used_s + cpu_time.saturating_sub(last.cpu_time).as_secs_f64() / limits.processors
        });
        let now = LoadCounters { at, cpu_time, used_s, throttled: limits.throttled };
        self.marks.push_back(now);
        // The first counters stay as old as the window.
        while self.marks.get(1).is_some_and(|next| at.saturating_duration_since(next.at) >= WINDOW) {
            self.marks.pop_front();
        }
        let first = self.marks.front().copied().unwrap_or(now);
        let seconds = at.saturating_duration_since(first.at).as_secs_f64();
        let cpu = if seconds > 0.0 { (used_s - first.used_s) / seconds } else { 0.0 };
        let throttled = limits.throttled.saturating_sub(first.throttled);
        Reading {
            // Clocks that tick in hundredths may say a little more than all.
            cpu: (cpu * 1_000.0).round().min(1_000.0) / 1_000.0,
            quota: limits.processors,
            quota_source: limits.source,
            throttled_ms: u64::try_from(throttled.as_millis()).unwrap_or(u64::MAX),
            memory: limits.memory.map(|share| (share * 1_000.0).round() / 1_000.0),
            cgroup_fault: limits.fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(processors: f64) -> CgroupLimits {
        CgroupLimits {
            processors,
            source: QuotaSource::Cgroup2,
            throttled: Duration::ZERO,
            memory: None,
            fault: None,
        }
    }

    /// The load after so many seconds of this use of processors, a sample a second.
    fn run(meter: &mut Meter, from: &mut (Instant, Duration), seconds: u32, cores: f64, quota: f64) -> f64 {
        let mut cpu = 0.0;
        for _ in 0..seconds {
            from.0 += Duration::from_secs(1);
            from.1 += Duration::from_secs_f64(cores);
            cpu = meter.note(from.0, from.1, limits(quota)).cpu;
        }
        cpu
    }

    #[test]
    fn the_load_is_the_mean_of_five_seconds_over_the_quota() {
        let (mut meter, mut from) = (Meter::default(), (Instant::now(), Duration::ZERO));
        assert_eq!(meter.note(from.0, from.1, limits(0.3)).cpu, 0.0, "one mark tells nothing");
        assert_eq!(run(&mut meter, &mut from, 10, 0.0, 0.3), 0.0);
        assert_eq!(run(&mut meter, &mut from, 1, 0.3, 0.3), 0.2);
        assert_eq!(run(&mut meter, &mut from, 4, 0.3, 0.3), 1.0);
        assert_eq!(run(&mut meter, &mut from, 3, 0.15, 0.3), 0.7);
        assert_eq!(run(&mut meter, &mut from, 5, 0.301, 0.3), 1.0, "never more than all");
    }

    #[test]
    fn a_quota_that_changes_counts_from_then_on() {
        let (mut meter, mut from) = (Meter::default(), (Instant::now(), Duration::ZERO));
        run(&mut meter, &mut from, 10, 0.3, 0.3);
        assert_eq!(run(&mut meter, &mut from, 2, 0.3, 0.6), 0.8, "three seconds at 1, two at a half");
        assert_eq!(run(&mut meter, &mut from, 5, 0.3, 0.6), 0.5);
    }

    #[test]
    fn a_process_that_was_stopped_or_counters_that_fall_do_no_harm() {
        let (mut meter, mut from) = (Meter::default(), (Instant::now(), Duration::ZERO));
        run(&mut meter, &mut from, 10, 0.3, 0.3);
        from.0 += Duration::from_secs(60);
        assert!(run(&mut meter, &mut from, 1, 0.3, 0.3) < 0.1, "it did nothing for a minute");
        from.1 = Duration::ZERO;
        assert!(meter.note(from.0, from.1, limits(0.3)).cpu >= 0.0);
    }

    #[test]
    fn what_the_kernel_held_back_is_told_for_the_window() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        let mut reading = None;
        for second in 0..10 {
            let throttled = Duration::from_millis(100 * second);
            let limits = CgroupLimits { throttled, memory: Some(0.501_234), ..limits(1.0) };
            reading = Some(meter.note(start + Duration::from_secs(second), Duration::ZERO, limits));
        }
        let reading = reading.unwrap();
        assert_eq!((reading.throttled_ms, reading.memory), (500, Some(0.501)));
    }
}
