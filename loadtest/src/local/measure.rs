//! A run over a fleet, and what it cost each process.

use std::{io, time::Duration};

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
    cli::RunArgs,
    print,
    report::Report,
    run::{self, Progress},
};

/// A run, and what each process of the fleet did for it.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// What the viewers saw.
    pub run: Report,
    /// What each process used, pods first.
    pub processes: Vec<ProcessCost>,
    /// What each pod counted in the run; none for one that did not answer.
    pub pods: Vec<Option<PodCounts>>,
    /// What each shard counted in the run; none for one that did not answer.
    pub shards: Vec<Option<ShardCounts>>,
}

/// What all processes counted so far.
struct Counts {
    pods: Vec<Option<PodCounts>>,
    shards: Vec<Option<ShardCounts>>,
}

impl Counts {
    async fn of(fleet: &Fleet) -> Self {
        let mut counts = Self { pods: Vec::new(), shards: Vec::new() };
        for pod in &fleet.pods {
            counts.pods.push(pod.counts().await);
        }
        for shard in &fleet.shards {
            counts.shards.push(shard.counts().await);
        }
        counts
    }
}

/// Makes the run over all pods of the fleet.
pub(crate) async fn measure(
    fleet: &mut Fleet,
    mut args: RunArgs,
    on_progress: fn(&Progress),
) -> Result<Measured, FleetError> {
    args.url = fleet.urls();
    args.machine.pid = fleet.pod_pids();
    let seconds = args.seconds;
    let plan = args.plan().map_err(|mistakes| FleetError::Io(io::Error::other(mistakes.join("; "))))?;
    plan.prepare_threads();
    let before = Counts::of(fleet).await;
    let mut watch = Watch::new(fleet);
    let mut began = None;
    // The first progress is told when the posting begins.
    let running = run::run(plan, |now| {
        began.get_or_insert_with(Instant::now);
        on_progress(now);
    });
    let report = select! {
        report = Box::pin(running) => report.map_err(FleetError::Run)?,
        () = watch.keep_looking(fleet, print::mistake) => return Err(FleetError::Interrupted),
    };
    let posting = began.map(|began| Posting { began, ended: began + Duration::from_secs_f64(seconds) });
    let after = Counts::of(fleet).await;
    Ok(Measured {
        run: report,
        processes: watch.costs(posting),
        pods: differences(&before.pods, &after.pods, PodCounts::since),
        shards: differences(&before.shards, &after.shards, ShardCounts::since),
    })
}

fn differences<T: Copy>(before: &[Option<T>], after: &[Option<T>], since: fn(T, T) -> T) -> Vec<Option<T>> {
    let pairs = after.iter().zip(before);
    pairs.map(|(after, before)| Some(since((*after)?, (*before)?))).collect()
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
