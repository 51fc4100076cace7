//! A run over a fleet, and what it cost each process.

use std::io;

use serde::Serialize;
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    time::Instant,
};

use super::{
    error::FleetError,
    fleet::Fleet,
    pod::PodCounts,
    redis::ShardCounts,
    watch::{Posting, ProcessCost, Watch},
};
use crate::{
    drive::plan::Plan,
    report::{
        Report, print,
        progress::{Progress, Stage},
    },
    run,
};

/// A run, and what each process of the fleet did for it.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// What the viewers saw.
    pub run: Report,
    /// The pods that hold viewers.
    pub pods: Vec<Member<PodCounts>>,
    /// The pod that takes the posts, if that is none of them.
    pub poster: Vec<Member<PodCounts>>,
    /// The shards.
    pub shards: Vec<Member<ShardCounts>>,
}

/// One process.
#[derive(Debug, Clone, Serialize)]
pub struct Member<C> {
    /// What it used.
    #[serde(flatten)]
    pub cost: ProcessCost,
    /// What it counted in the run; none if it did not answer.
    #[serde(flatten)]
    pub counts: Option<C>,
}

impl Measured {
    /// What every process used.
    pub fn costs(&self) -> impl Iterator<Item = &ProcessCost> {
        let pods = self.pods.iter().chain(&self.poster).map(|pod| &pod.cost);
        pods.chain(self.shards.iter().map(|shard| &shard.cost))
    }

    /// The first process that ended by itself, and how.
    #[must_use]
    pub fn died(&self) -> Option<(&str, &str)> {
        self.costs().find_map(|cost| Some((cost.name.as_str(), cost.died.as_deref()?)))
    }

    /// Whether every promise held and every process lived.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.run.ok && self.died().is_none()
    }
}

/// What all processes counted so far.
struct Counts {
    pods: Vec<Option<PodCounts>>,
    shards: Vec<Option<ShardCounts>>,
}

impl Counts {
    async fn of(fleet: &Fleet) -> Self {
        let mut counts = Self { pods: Vec::new(), shards: Vec::new() };
        for pod in fleet.pods.iter().chain(&fleet.poster) {
            counts.pods.push(pod.counts().await);
        }
        for shard in &fleet.shards {
            counts.shards.push(shard.counts().await);
        }
        counts
    }
}

/// Makes a run that is aimed at the fleet.
pub(crate) async fn measure(
    fleet: &mut Fleet,
    plan: Plan,
    on_progress: fn(&Progress),
) -> Result<Measured, FleetError> {
    let length = plan.posting_time();
    plan.prepare_threads();
    let before = Counts::of(fleet).await;
    let mut watch = Watch::new(fleet);
    let mut began = None;
    let running = run::run(plan, |now| {
        if now.stage == Stage::Posting {
            began.get_or_insert_with(Instant::now);
        }
        on_progress(now);
    });
    let run = select! {
        report = Box::pin(running) => report.map_err(FleetError::Run)?,
        () = watch.keep_looking(fleet, print::mistake) => return Err(FleetError::Interrupted),
    };
    let posting = began.map(|began| Posting { began, ended: began + length });
    let after = Counts::of(fleet).await;
    let mut costs = watch.costs(posting).into_iter();
    let mut pods = members(&mut costs, &before.pods, &after.pods, PodCounts::since);
    let poster = pods.split_off(fleet.pods.len());
    let shards = members(&mut costs, &before.shards, &after.shards, ShardCounts::since);
    Ok(Measured { run, pods, poster, shards })
}

fn members<C: Copy>(
    costs: &mut impl Iterator<Item = ProcessCost>,
    before: &[Option<C>],
    after: &[Option<C>],
    since: fn(C, C) -> C,
) -> Vec<Member<C>> {
    let counts = after.iter().zip(before).map(|(after, before)| Some(since((*after)?, (*before)?)));
    // The counts first: were it the other way round, a cost would be taken for a count that is not there.
    counts.zip(costs).map(|(counts, cost)| Member { cost, counts }).collect()
}

/// Does the work, unless a signal asks this process to end first; what the work holds is dropped then.
pub(crate) async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, FleetError>>,
) -> Result<T, FleetError> {
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let [Ok(interrupt), Ok(terminate), Ok(hangup)] = &mut signals else {
        return Err(FleetError::Io(io::Error::other("no signals can be had")));
    };
    select! {
        done = work => done,
        _ = interrupt.recv() => Err(FleetError::Interrupted),
        _ = terminate.recv() => Err(FleetError::Interrupted),
        _ = hangup.recv() => Err(FleetError::Interrupted),
    }
}
