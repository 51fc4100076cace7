//! What the steps show.

use serde::Serialize;

use super::args::CapacityArgs;
use crate::commands::local::{Measured, Member};

/// From this share of a core on something is as busy as it can be.
const BUSY: f64 = 0.9;

/// One step.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Viewers on all pods together.
    pub viewers: u32,
    /// Deliveries a second while posting.
    pub deliveries_per_second: f64,
    /// 99 of 100 deliveries were at most this late, in milliseconds.
    pub p99_ms: f64,
    /// Why the objective does not hold; empty if it does.
    pub broken: Vec<String>,
    /// CPU of the pods with viewers, as a share of one core.
    pub pods_cores: f64,
    /// CPU of the pod that takes the posts.
    pub poster_cores: f64,
    /// CPU of the shards.
    pub redis_cores: f64,
    /// CPU of the tester.
    pub tester_cores: f64,
    /// CPU of the pods for each delivery, hearing included, in microseconds.
    pub us_per_delivery: f64,
    /// CPU of the shards for each post, in microseconds.
    pub redis_us_per_post: f64,
    /// CPU of the pod that takes the posts for each of them, in microseconds.
    pub poster_us_per_post: f64,
    /// CPU of the pods for each join, in microseconds.
    pub us_per_join: f64,
    /// Memory of an idle viewer, in bytes.
    pub rss_bytes_per_viewer: f64,
    /// Bytes to the viewers for each delivery, without TCP's and IP's own.
    pub bytes_per_delivery: f64,
}

/// Many small streams.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Small {
    /// CPU of the pods for each delivery, hearing included, in microseconds.
    pub us_per_delivery: f64,
    /// Memory of an idle viewer, in bytes.
    pub rss_bytes_per_viewer: f64,
    /// 99 of 100 deliveries were at most this late, in milliseconds.
    pub p99_ms: f64,
    /// Whether every promise held.
    pub ok: bool,
}

/// What is used up where the objective breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Limit {
    /// It held at every step.
    NotReached,
    /// The pods.
    Pods,
    /// The shards.
    Redis,
    /// The tester: the pods could do more.
    Tester,
    /// None of them has used up a core.
    Machine,
}

/// What the steps found.
#[derive(Debug, Serialize)]
pub struct CapacityReport {
    /// Pods with viewers, shards.
    pub started: [u16; 2],
    /// Streams.
    pub streams: u32,
    /// Comments a second in each stream.
    pub rate: f64,
    /// The objective: 99 of 100 deliveries within so many milliseconds.
    pub slo_ms: u64,
    /// By viewers.
    pub steps: Vec<Step>,
    /// What is used up where the objective breaks.
    pub limit: Limit,
    /// Each round of many small streams.
    pub small: Vec<Small>,
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn each(total: u64, of: u64) -> f64 {
    total as f64 / of.max(1) as f64
}

fn cpu_us<C>(members: &[Member<C>]) -> u64 {
    members.iter().map(|member| member.cost.cpu_us).sum()
}

fn cores<C>(members: &[Member<C>]) -> f64 {
    members.iter().map(|member| member.cost.cores).sum()
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn milliseconds(us: u64) -> f64 {
    us as f64 / 1000.0
}

impl Step {
    pub(super) fn of(measured: &Measured, slo_ms: u64) -> Self {
        let run = &measured.run;
        let (posts, delivered) = (run.posts.acked, run.deliveries.delivered);
        let p99_ms = milliseconds(run.latencies.delivery.p99_us);
        Self {
            viewers: run.shape.viewers,
            deliveries_per_second: run.deliveries_per_second,
            p99_ms,
            broken: broken(measured, slo_ms),
            pods_cores: cores(&measured.pods),
            poster_cores: cores(&measured.poster),
            redis_cores: cores(&measured.shards),
            tester_cores: run.tester.cores,
            us_per_delivery: each(cpu_us(&measured.pods), delivered),
            redis_us_per_post: each(cpu_us(&measured.shards), posts),
            poster_us_per_post: each(cpu_us(&measured.poster), posts),
            us_per_join: run.server.map_or(0.0, |server| server.cpu_us_per_join),
            rss_bytes_per_viewer: run.server.map_or(0.0, |server| server.rss_bytes_per_viewer),
            bytes_per_delivery: each(run.counts.bytes, delivered),
        }
    }

    /// Whether the objective holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.broken.is_empty()
    }
}

fn broken(measured: &Measured, slo_ms: u64) -> Vec<String> {
    let run = &measured.run;
    let late = run.latencies.delivery.p99_us > slo_ms * 1000;
    let late = late.then(|| format!("p99 over {slo_ms} ms"));
    // How long a join takes when thousands come at once is no part of this objective.
    let others = run.violations.iter().filter(|(name, _)| !matches!(name.as_str(), "late" | "late joins"));
    late.into_iter().chain(others.map(|(name, count)| format!("{name} {count}"))).collect()
}

impl Small {
    pub(super) fn of(measured: &Measured) -> Self {
        let run = &measured.run;
        Self {
            us_per_delivery: each(cpu_us(&measured.pods), run.deliveries.delivered),
            rss_bytes_per_viewer: run.server.map_or(0.0, |server| server.rss_bytes_per_viewer),
            p99_ms: milliseconds(run.latencies.delivery.p99_us),
            ok: run.violations.keys().all(|name| name == "late joins"),
        }
    }
}

impl CapacityReport {
    pub(super) fn of(args: &CapacityArgs, steps: Vec<Step>, small: Vec<Small>) -> Self {
        let fleet = &args.fleet;
        let limit =
            steps.iter().find(|step| !step.holds()).map_or(Limit::NotReached, |step| limit(step, args));
        Self {
            started: [fleet.pods, fleet.shards],
            streams: args.streams,
            rate: args.rate,
            slo_ms: args.slo_ms,
            steps,
            limit,
            small,
        }
    }

    /// Whether the objective held at the first step, and every promise with many small streams.
    #[must_use]
    pub fn held(&self) -> bool {
        self.best().is_some() && self.small.iter().all(|small| small.ok)
    }

    /// The step with most viewers at which the objective held.
    pub(super) fn best(&self) -> Option<&Step> {
        self.steps.iter().take_while(|step| step.holds()).last()
    }
}

/// Who was busy.
fn limit(step: &Step, args: &CapacityArgs) -> Limit {
    let (pods, shards) = (f64::from(args.fleet.pods), f64::from(args.fleet.shards.max(1)));
    if step.pods_cores >= BUSY * pods {
        Limit::Pods
    } else if step.redis_cores >= BUSY * shards {
        Limit::Redis
    } else if step.tester_cores + step.redis_cores + step.poster_cores >= BUSY {
        // These share a CPU where the pods have another.
        Limit::Tester
    } else {
        Limit::Machine
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::commands::cli::{Cli, Command};

    fn step(viewers: u32, pods_cores: f64, tester_cores: f64, broken: &[&str]) -> Step {
        Step {
            viewers,
            deliveries_per_second: 1.0,
            p99_ms: 1.0,
            broken: broken.iter().map(ToString::to_string).collect(),
            pods_cores,
            poster_cores: 0.0,
            redis_cores: 0.0,
            tester_cores,
            us_per_delivery: 1.0,
            redis_us_per_post: 1.0,
            poster_us_per_post: 1.0,
            us_per_join: 1.0,
            rss_bytes_per_viewer: 1.0,
            bytes_per_delivery: 1.0,
        }
    }

    fn report(steps: Vec<Step>) -> CapacityReport {
        let Command::Capacity(args) = Cli::try_parse_from(["loadtest", "capacity"]).unwrap().command else {
            panic!()
        };
        CapacityReport::of(&args, steps, Vec::new())
    }

    #[test]
    fn the_limit_is_whoever_was_busy_at_the_first_step_that_broke() {
        let good = || step(1000, 0.5, 0.5, &[]);
        for (broken, limit) in [
            (step(2000, 0.95, 0.95, &["p99 over 200 ms"]), Limit::Pods),
            (step(2000, 0.6, 0.95, &["p99 over 200 ms"]), Limit::Tester),
            (step(2000, 0.6, 0.6, &["lost 1"]), Limit::Machine),
        ] {
            let report = report(vec![good(), broken, step(4000, 1.0, 1.0, &["lost 1"])]);
            assert_eq!((report.limit, report.best().unwrap().viewers), (limit, 1000));
        }
        assert_eq!(report(vec![good()]).limit, Limit::NotReached);
    }

    #[test]
    fn a_step_above_one_that_broke_is_not_the_best() {
        let steps = vec![step(1, 0.1, 0.1, &[]), step(2, 1.0, 0.1, &["lost 1"]), step(3, 0.9, 0.1, &[])];
        assert_eq!(report(steps).best().unwrap().viewers, 1);
        assert!(report(vec![step(1, 1.0, 0.1, &["lost 1"])]).best().is_none());
    }
}
