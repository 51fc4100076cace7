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
    fleet::{Fleet, Heartbeat, Wish},
    gate::{Gate, Occupancy, Reason},
    meter::{Meter, Reading},
    process::{self, Process},
    rules::{Rules, Word},
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
pub struct Setup {
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
    setup: Setup,
    root: PathBuf,
    process: Process,
    meter: Meter,
}

/// The pod that decides, and whom it tells.
pub struct Member<F> {
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
    pub fn new(setup: Setup) -> Self {
        Self::at(Path::new("/"), setup)
    }

    fn at(root: &Path, setup: Setup) -> Self {
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
    pub async fn run(self, member: Member<impl Fleet>) {
        let thresholds = self.setup.thresholds.jittered();
        let (load, loads) = watch::channel(0.0);
        let (wish, wishes) = watch::channel(Wish::Stay);
        let (word, words) = watch::channel(None);
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
        let rules = Rules { thresholds, gate: gate.clone(), load: loads.clone(), word: words, wish };
        let heart = Heart { gate, load: loads, wish: wishes, word, high: thresholds.high };
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

/// Tells the fleet how the pod fares, again and again and whenever its wish changes.
struct Heart {
    gate: Gate,
    load: watch::Receiver<f64>,
    wish: watch::Receiver<Wish>,
    word: watch::Sender<Option<Word>>,
    high: f64,
}

impl Heart {
    async fn beat(mut self, member: Member<impl Fleet>) {
        loop {
            let at = Instant::now();
            let wish = self.next(&member).await;
            if wish == Wish::Gone {
                return;
            }
            let pause = BEAT_EVERY.mul_f64(rand::random_range(1.0..1.2)).saturating_sub(at.elapsed());
            select! {
                () = sleep(pause) => {}
                changed = self.wish.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Tells the fleet once; returns what was wished for.
    async fn next(&mut self, member: &Member<impl Fleet>) -> Wish {
        let (at, reasons) = (Instant::now(), self.gate.reasons());
        let wish =
            if reasons.contains(&Reason::Draining) { Wish::Gone } else { *self.wish.borrow_and_update() };
        let beat = Heartbeat {
            pod: member.pod.clone(),
            track: member.track.clone(),
            cpu: *self.load.borrow(),
            high: self.high,
            viewers: member.tasks.sockets(),
            ready: reasons.is_empty(),
            wish,
        };
        let view = timeout(ANSWERED_WITHIN, member.fleet.beat(&beat)).await.ok().flatten();
        if let Some(view) = &view {
            self.word.send_replace(Some(Word { verdict: view.verdict, at }));
        }
        self.gate.set_fleet(view);
        wish
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
        let setup = Setup {
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
        let member = Member {
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
