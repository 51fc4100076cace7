//! The run over time: what is read again and again, as rates since the reading before.

use super::worker::Look;
use crate::{
    base::proc::Usage,
    check::tally::{Spread, Tally},
    drive::{plan::Plan, schedule::Schedule},
    report::Sample,
};

/// Samples of a run; more than about this many are not kept apart.
const SAMPLES: f64 = 120.0;
const SHORTEST_STEP_S: f64 = 0.25;

struct Reading {
    at_us: u64,
    due: u64,
    delivered: u64,
    joins: u64,
    drops: u64,
    latency: Spread,
    processes: Vec<Usage>,
}

/// Collects samples.
pub(crate) struct Sampler {
    pids: Vec<u32>,
    before: Option<Reading>,
    pub(crate) samples: Vec<Sample>,
}

/// Seconds between two samples of this plan.
pub(crate) fn step_s(plan: &Plan) -> f64 {
    (plan.seconds / SAMPLES).max(SHORTEST_STEP_S)
}

impl Sampler {
    pub(crate) fn new(plan: &Plan) -> Self {
        let pids = plan.pids.iter().chain(&plan.redis_pids).copied().collect();
        Self { pids, before: None, samples: Vec::new() }
    }

    /// Enters how it is going at this time; `start_us` is when the posting begins, if that is known.
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    pub(crate) fn enter(&mut self, look: &Look, plan: &Plan, (now_us, start_us): (u64, Option<u64>)) {
        let reading = self.reading(look, plan, (now_us, start_us));
        if let Some(before) = &self.before {
            let seconds = (now_us.saturating_sub(before.at_us)) as f64 / 1e6;
            let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds.max(1e-6);
            let cores = reading.processes.iter().zip(&before.processes);
            self.samples.push(Sample {
                at_s: (now_us as f64 - start_us.unwrap_or(now_us) as f64) / 1e6,
                open: look.open,
                offered: rate(reading.due, before.due) / f64::from(plan.streams) * look.open as f64,
                delivered: rate(reading.delivered, before.delivered),
                joins: rate(reading.joins, before.joins),
                drops: rate(reading.drops, before.drops),
                late_p99_ms: reading.latency.since(&before.latency).quantiles().p99_us as f64 / 1e3,
                cores: cores.map(|(now, then)| rate(now.cpu_us, then.cpu_us) / 1e6).collect(),
                rss_mib: reading.processes.iter().map(|now| now.rss_bytes as f64 / 1_048_576.0).collect(),
            });
        }
        self.before = Some(reading);
    }

    fn reading(&self, look: &Look, plan: &Plan, (now_us, start_us): (u64, Option<u64>)) -> Reading {
        let tallies = &look.tallies;
        let sum = |of: fn(&Tally) -> u64| of(&tallies.steady) + of(&tallies.moving) + of(&tallies.slow);
        let mut latency = Spread::default();
        latency.add(&tallies.steady.delivery);
        latency.add(&tallies.moving.delivery);
        Reading {
            at_us: now_us,
            due: start_us.map_or(0, |start_us| Schedule::all_due_by(plan, start_us, now_us)),
            delivered: sum(|tally| tally.counts.delivered),
            joins: sum(|tally| tally.counts.joined + tally.counts.resumed),
            drops: sum(|tally| tally.drops.values().sum()),
            latency,
            processes: self.pids.iter().map(|pid| Usage::light(*pid)).collect(),
        }
    }
}
