//! The work behind the gate: reading the load, telling the fleet, following the rules.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::join4;
use tokio::{
    select,
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    admission::Capacity,
    cgroup,
    fleet::{Fleet, Heartbeat, LeaseRequest},
    gate::{Gate, Occupancy, Reason},
    meter::{Meter, Reading},
    process::{self, Process},
    rules::{FleetReply, Rules},
    shed::Shedding,
    thresholds::Thresholds,
};
use crate::{release::Release, tasks::Tasks};

/// How often the load is read.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How often the fleet is told, up to a fifth later; it forgets a pod after 15 s.
const BEAT_EVERY: Duration = Duration::from_millis(2_500);
/// How long its answer may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// A pod refuses for so many times its cooling time before it asks viewers to move: a minute with the defaults.
const SHED_AFTER: u32 = 2;

/// How a pod decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadinessSettings {
    /// When its load counts as high and as low.
    pub thresholds: Thresholds,
    /// The most viewers; 0 for as many as the open files allow.
    pub max_viewers: usize,
    /// The most handshakes a second; 0 for no limit.
    pub accepts_per_second: u32,
    /// The most refused handshakes a second that are answered on the WebSocket.
    pub socket_refusals_per_second: u32,
    /// Whether a pod that stays hot asks its excess of viewers to move.
    pub shed: bool,
}

/// Reads the load, and holds what is needed for it.
pub struct Readiness {
    gate: Gate,
    setup: ReadinessSettings,
    root: PathBuf,
    process: Process,
    meter: Meter,
}

/// The pod that decides, and whom it tells.
pub struct FleetMember<F> {
    /// The pods of its track.
    pub fleet: F,
    /// The pod's name.
    pub pod: String,
    /// Its track.
    pub track: String,
    /// Owns its viewers' sockets.
    pub tasks: Tasks,
    /// Asks viewers to move.
    pub release: Release,
}

impl Readiness {
    /// Reads the load for the first time.
    #[must_use]
    pub fn new(setup: ReadinessSettings) -> Self {
        Self::at(Path::new("/"), setup)
    }

    fn at(root: &Path, setup: ReadinessSettings) -> Self {
        let mut process = Process::new();
        // Before the limit is read, since this raises it.
        let _ = process.cpu_time();
        let capacity = Capacity {
            socket_refusals_per_second: setup.socket_refusals_per_second,
            ..Capacity::new(process::open_files(root), setup.max_viewers, setup.accepts_per_second)
        };
        let mut readiness = Self {
            gate: Gate::new(capacity, setup.thresholds),
            setup,
            root: root.to_owned(),
            process,
            meter: Meter::default(),
        };
        if let Some(reading) = readiness.read() {
            readiness.gate.publish(reading, Occupancy::default());
        }
        readiness
    }

    /// The gate that it moves.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.gate.clone()
    }

    fn read(&mut self) -> Option<Reading> {
        let cpu_time = self.process.cpu_time()?;
        Some(self.meter.note(Instant::now(), cpu_time, cgroup::read(&self.root)))
    }

    /// Reads, tells, follows the rules and sheds, for ever.
    pub async fn run(self, member: FleetMember<impl Fleet>) {
        let thresholds = self.setup.thresholds.jittered();
        let (load, loads) = watch::channel(0.0);
        let (request, requests) = watch::channel(LeaseRequest::Stay);
        let (reply, words) = watch::channel(None);
        let gate = self.gate.clone();
        let shedding = Shedding {
            gate: gate.clone(),
            release: member.release.clone(),
            after: self.setup.thresholds.cool_for * SHED_AFTER,
            high: thresholds.high,
        };
        let sheds = self.setup.shed;
        let shed = async move {
            if sheds {
                shedding.run().await;
            }
        };
        let rules = Rules { thresholds, gate: gate.clone(), load: loads.clone(), reply: words, request };
        let heart = HeartbeatTask { gate, load: loads, request: requests, reply, high: thresholds.high };
        let tasks = member.tasks.clone();
        join4(sample(self, tasks, load), heart.beat(member), rules.run(), shed).await;
    }
}

async fn sample(mut readiness: Readiness, tasks: Tasks, load: watch::Sender<f64>) {
    let mut tick = interval(READ_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Some(reading) = readiness.read() {
            let cpu = reading.cpu;
            let occupancy = Occupancy {
                viewers: tasks.sockets(),
                connections: tasks.requests(),
                descriptors: process::next_descriptor(),
            };
            readiness.gate.publish(reading, occupancy);
            load.send_replace(cpu);
        }
    }
}

/// Tells the fleet how the pod fares, again and again and whenever its request changes.
struct HeartbeatTask {
    gate: Gate,
    load: watch::Receiver<f64>,
    request: watch::Receiver<LeaseRequest>,
    reply: watch::Sender<Option<FleetReply>>,
    high: f64,
}

impl HeartbeatTask {
    async fn beat(mut self, member: FleetMember<impl Fleet>) {
        loop {
            let at = Instant::now();
            let request = self.next(&member).await;
            if request == LeaseRequest::Gone {
                return;
            }
            let pause = BEAT_EVERY.mul_f64(rand::random_range(1.0..1.2)).saturating_sub(at.elapsed());
            select! {
                () = sleep(pause) => {}
                changed = self.request.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Tells the fleet once; returns what was wished for.
    async fn next(&mut self, member: &FleetMember<impl Fleet>) -> LeaseRequest {
        let (at, reasons) = (Instant::now(), self.gate.reasons());
        let request = if reasons.contains(&Reason::Draining) {
            LeaseRequest::Gone
        } else {
            *self.request.borrow_and_update()
        };
        let beat = Heartbeat {
            pod: member.pod.clone(),
            track: member.track.clone(),
            cpu: *self.load.borrow(),
            high: self.high,
            viewers: member.tasks.sockets(),
            ready: reasons.is_empty(),
            request,
        };
        let view = timeout(ANSWERED_WITHIN, member.fleet.beat(&beat)).await.ok().flatten();
        if let Some(view) = &view {
            self.reply.send_replace(Some(FleetReply { verdict: view.verdict, at }));
        }
        self.gate.set_fleet(view);
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::FleetView;

    /// A fleet of one, or one that breaks whoever asks it.
    struct Alone {
        breaks: bool,
    }

    impl Fleet for Alone {
        async fn beat(&self, beat: &Heartbeat) -> Option<FleetView> {
            assert!(!self.breaks, "on purpose");
            Some(FleetView::alone(beat))
        }
    }

    /// The reasons of a gate after half a minute.
    async fn reasons(breaks: bool) -> Vec<Reason> {
        let thresholds = Thresholds {
            high: 0.8,
            low: 0.6,
            hot_for: Duration::from_secs(5),
            cool_for: Duration::from_secs(30),
        };
        let setup = ReadinessSettings {
            thresholds,
            max_viewers: 0,
            accepts_per_second: 0,
            socket_refusals_per_second: 0,
            shed: true,
        };
        let readiness = Readiness::at(Path::new("/nowhere"), setup);
        let (gate, tasks) = (readiness.gate(), Tasks::default());
        gate.open(Reason::Starting);
        assert_eq!(gate.reasons(), [], "it was read once");
        let member = FleetMember {
            fleet: Alone { breaks },
            pod: "one".to_owned(),
            track: "blue".to_owned(),
            tasks: tasks.clone(),
            release: Release::default(),
        };
        tasks.core("readiness", readiness.run(member));
        for _ in 0..30 {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        gate.reasons()
    }

    /// Fails closed: a pod whose load nobody reads any more takes nobody new.
    #[tokio::test(start_paused = true)]
    async fn a_sampler_that_dies_closes_the_gate_and_one_that_lives_does_not() {
        assert_eq!(reasons(false).await, []);
        assert_eq!(reasons(true).await, [Reason::Sampler]);
    }
}
