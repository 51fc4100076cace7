//! When a pod refuses new viewers for its load, and when it takes them again.

use std::time::Duration;

use futures_util::future::join;
use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    fleet::{LeaseDecision, LeaseRequest},
    gate::{Gate, Reason},
    thresholds::Thresholds,
};

/// A leave that the fleet has not renewed for so long is over, before the fleet gives it to another pod (15 s).
const LEAVE_LASTS: Duration = Duration::from_secs(10);

/// The last answer of the fleet.
#[derive(Debug, Clone, Copy)]
pub(super) struct FleetReply {
    pub(super) verdict: LeaseDecision,
    pub(super) at: Instant,
}

/// The rules of one pod: they see the load and the fleet's word, and move the gate.
pub(super) struct Rules {
    pub(super) thresholds: Thresholds,
    pub(super) gate: Gate,
    /// The load, at each reading.
    pub(super) load: watch::Receiver<f64>,
    /// What the fleet said last; none before it said anything.
    pub(super) reply: watch::Receiver<Option<FleetReply>>,
    /// What the fleet is asked for.
    pub(super) request: watch::Sender<LeaseRequest>,
}

/// Why a pod takes viewers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Back {
    /// It is cool.
    Cool,
    /// The others are hot too, or the fleet is silent.
    Called,
}

impl Rules {
    /// Goes on for ever.
    pub(super) async fn run(self) {
        let (load, gate, low) = (self.load.clone(), self.gate.clone(), self.thresholds.low);
        join(cooling(load, gate, low), self.rounds()).await;
    }

    async fn rounds(mut self) {
        loop {
            self.accepting().await;
            tracing::warn!(load = *self.load.borrow(), "the pod is hot: it takes no new viewers");
            self.gate.close(Reason::Cpu);
            let back = self.refusing().await;
            self.gate.open(Reason::Cpu);
            tracing::info!(load = *self.load.borrow(), ?back, "the pod takes new viewers again");
            self.request.send_replace(LeaseRequest::Stay);
            if back == Back::Called {
                // Who was called back would else leave again at once, and be called back again.
                sleep(self.thresholds.cool_for).await;
            }
        }
    }

    /// Returns when the pod is hot and may leave.
    async fn accepting(&mut self) {
        let Thresholds { high, hot_for, .. } = self.thresholds;
        loop {
            dwelt(&mut self.load, hot_for, |load| load > high).await;
            self.gate.set_hot(true);
            let asked = Instant::now();
            self.request.send_replace(LeaseRequest::Leave);
            select! {
                () = granted(&mut self.reply, asked) => return,
                () = until(&mut self.load, |load| load <= high) => {}
            }
            self.request.send_replace(LeaseRequest::Stay);
        }
    }

    /// Returns when the pod is cool, or has to help the others.
    async fn refusing(&mut self) -> Back {
        let Thresholds { low, cool_for, .. } = self.thresholds;
        select! {
            () = dwelt(&mut self.load, cool_for, |load| load < low) => Back::Cool,
            () = called_back(&mut self.reply) => Back::Called,
        }
    }
}

/// A pod is hot from a dwell above the high threshold until its load is below the low one.
async fn cooling(mut load: watch::Receiver<f64>, gate: Gate, low: f64) {
    loop {
        until(&mut load, |load| load < low).await;
        gate.set_hot(false);
        until(&mut load, |load| load >= low).await;
    }
}

/// Returns at the first load for which `holds` is true. Without a sampler, never: the gate is closed for that.
async fn until(load: &mut watch::Receiver<f64>, holds: impl Fn(f64) -> bool) {
    if load.wait_for(|load| holds(*load)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Returns once `holds` has been true of every load for so long.
async fn dwelt(load: &mut watch::Receiver<f64>, dwell: Duration, holds: impl Fn(f64) -> bool + Copy) {
    loop {
        until(load, holds).await;
        if timeout(dwell, until(load, |load| !holds(load))).await.is_err() {
            return;
        }
    }
}

/// Returns when the fleet has allowed the pod to leave, in an answer to that request.
async fn granted(reply: &mut watch::Receiver<Option<FleetReply>>, asked: Instant) {
    let allows = |reply: &Option<FleetReply>| {
        reply.is_some_and(|reply| reply.verdict == LeaseDecision::Leave && reply.at >= asked)
    };
    if reply.wait_for(allows).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Returns when the fleet wants the pod back, or has not renewed its leave.
async fn called_back(reply: &mut watch::Receiver<Option<FleetReply>>) {
    loop {
        let last = *reply.borrow_and_update();
        let Some(FleetReply { verdict: LeaseDecision::Leave, at }) = last else { return };
        select! {
            changed = reply.changed() => if changed.is_err() { return },
            () = sleep_until(at + LEAVE_LASTS) => return,
        }
    }
}

#[cfg(test)]
mod tests;
