//! Looks at the processes of a fleet while they work: what they use, and whether they live.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::fleet::Fleet;
use crate::base::{clock::micros, proc::Usage};

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Over this time the highest use of CPU is taken: shorter ones are mostly the kernel's ticks.
const PEAK_OVER: usize = 4;

/// What one process used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProcessCost {
    /// `pod-1`, `redis-a`.
    pub name: String,
    /// Its id.
    pub pid: u32,
    /// CPU while posting, in microseconds.
    pub cpu_us: u64,
    /// The same as a share of one core.
    pub cores: f64,
    /// The highest share over a second.
    pub peak_cores: f64,
    /// Resident memory before the first viewer, in bytes.
    pub rss_before_bytes: u64,
    /// The same with all viewers, before the first post.
    pub rss_idle_bytes: u64,
    /// The same when the posting ended.
    pub rss_end_bytes: u64,
    /// The same at most.
    pub rss_peak_bytes: u64,
    /// How it ended, if it did so by itself.
    pub died: Option<String>,
}

/// What was seen of the processes.
#[derive(Debug)]
pub(crate) struct Watch(Vec<Seen>);

#[derive(Debug)]
struct Seen {
    name: String,
    pid: u32,
    looks: Vec<(Instant, Usage)>,
    died: Option<String>,
}

/// When the posting began and ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Posting {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

impl Watch {
    pub(crate) fn new(fleet: &mut Fleet) -> Self {
        let seen = |(name, held): (&str, &mut super::child_process::ChildProcess)| Seen {
            name: name.to_owned(),
            pid: held.pid(),
            looks: Vec::new(),
            died: None,
        };
        Self(fleet.processes().map(seen).collect())
    }

    /// Looks for ever; `on_death` is called once for each process that ends.
    pub(crate) async fn keep_looking(&mut self, fleet: &mut Fleet, on_death: impl Fn(&str)) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            for (seen, (_, held)) in self.0.iter_mut().zip(fleet.processes()) {
                if seen.died.is_none() && held.ended().is_some() {
                    let died = held.end();
                    on_death(&format!("{} died: it {died}", seen.name));
                    seen.died = Some(died);
                } else if seen.died.is_none() {
                    seen.looks.push((Instant::now(), Usage::light(seen.pid)));
                }
            }
        }
    }

    /// What each process used; without a posting nothing counts as used for it.
    pub(crate) fn costs(&self, posting: Option<Posting>) -> Vec<ProcessCost> {
        self.0.iter().map(|seen| seen.cost(posting)).collect()
    }
}

impl Seen {
    fn cost(&self, posting: Option<Posting>) -> ProcessCost {
        let rss = |look: Option<&(Instant, Usage)>| look.map_or(0, |(_, look)| look.rss_bytes);
        let rss_at = |then: Option<Instant>| {
            then.map_or(0, |then| rss(self.looks.iter().rfind(|(at, _)| *at <= then)))
        };
        let cpu_us = posting
            .map_or(0, |posting| self.cpu_at(posting.ended).saturating_sub(self.cpu_at(posting.began)));
        ProcessCost {
            name: self.name.clone(),
            pid: self.pid,
            cpu_us,
            cores: posting.map_or(0.0, |posting| share(cpu_us, posting.ended - posting.began)),
            peak_cores: self.peak_cores(),
            rss_before_bytes: rss(self.looks.first()),
            rss_idle_bytes: rss_at(posting.map(|posting| posting.began)),
            rss_end_bytes: rss_at(posting.map(|posting| posting.ended)),
            rss_peak_bytes: self.looks.iter().map(|(_, look)| look.rss_bytes).max().unwrap_or(0),
            died: self.died.clone(),
        }
    }

    /// CPU used until then, in microseconds: on the line between the looks before and after it.
    fn cpu_at(&self, then: Instant) -> u64 {
        let after = self.looks.partition_point(|(at, _)| *at <= then);
        match (after.checked_sub(1).and_then(|before| self.looks.get(before)), self.looks.get(after)) {
            (Some((from, before)), Some((to, after))) => {
                let (part, whole) = (micros(then - *from), micros(*to - *from).max(1));
                before.cpu_us + after.cpu_us.saturating_sub(before.cpu_us) * part / whole
            }
            (Some((_, look)), None) | (None, Some((_, look))) => look.cpu_us,
            (None, None) => 0,
        }
    }

    fn peak_cores(&self) -> f64 {
        let spans = self.looks.iter().zip(self.looks.iter().skip(PEAK_OVER));
        let shares = spans.map(|((from, before), (to, after))| {
            share(after.cpu_us.saturating_sub(before.cpu_us), *to - *from)
        });
        shares.fold(0.0, f64::max)
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn share(cpu_us: u64, of: Duration) -> f64 {
    cpu_us as f64 / micros(of).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_while_posting_is_told_apart() {
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let rss = [10, 20, 20, 40, 30];
        // Half a core for two seconds, then a whole one.
        let cpu_s = [0, 0, 1, 2, 3];
        let look = |second: u64, cpu_s: u64, rss_bytes| {
            (at(second), Usage { cpu_us: cpu_s * 1_000_000, rss_bytes, pss_bytes: 0 })
        };
        let looks =
            (0..).zip(cpu_s.iter().zip(rss)).map(|(n, (cpu_s, rss))| look(n * 2, *cpu_s, rss)).collect();
        let seen = Seen { name: "pod-1".into(), pid: 1, looks, died: None };
        let cost = seen.cost(Some(Posting { began: at(3), ended: at(7) }));
        assert_eq!((cost.cpu_us, cost.cores), (2_000_000, 0.5));
        let rss = [cost.rss_before_bytes, cost.rss_idle_bytes, cost.rss_end_bytes, cost.rss_peak_bytes];
        assert_eq!(rss, [10, 20, 40, 40]);
        assert_eq!(seen.cost(None).cpu_us, 0);
    }
}
