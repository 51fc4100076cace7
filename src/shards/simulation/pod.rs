//! A simulated pod: a real hub with its lane, and a real keeper for each shard.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    domain::StreamId,
    hub::{Fanout, Hub, Nudge},
    shards::{
        ShardSettings,
        audience::{pending_users::PendingUsers, sync::AudienceSync},
        keeper::{Command, Keeper, Moment, ShardCall, stats::KeeperStats},
    },
    telemetry::Sli,
};

/// The streams that the hub wants looked at.
#[derive(Clone, Default)]
struct Nudged(Arc<Mutex<BTreeSet<StreamId>>>);

impl Nudge for Nudged {
    fn nudge(&self, stream: &StreamId) {
        self.0.lock().insert(stream.clone());
    }
}

/// A pod.
pub(super) struct SimulatedPod {
    pub(super) hub: Hub,
    lane: Pin<Box<dyn Future<Output = ()>>>,
    nudged: Nudged,
    keepers: Vec<(Keeper, Arc<KeeperStats>)>,
    /// It does nothing before this time.
    pub(super) paused_until: u64,
    /// How far its clock is ahead, in milliseconds.
    pub(super) ahead_ms: i64,
}

impl SimulatedPod {
    pub(super) fn new(shards: usize, linger_ms: u64, sli: Sli, now: Instant) -> Self {
        let nudged = Nudged::default();
        let (hub, mut lanes) = Hub::new(Fanout::new(1, Duration::ZERO), nudged.clone(), sli);
        let settings = ShardSettings {
            list: Vec::new(),
            ring_epoch: 1,
            pod: "pod".into(),
            history_comments: 0,
            history_ttl: Duration::from_secs(3_600),
            linger: Duration::from_millis(linger_ms),
        };
        let keeper = || {
            let stats = Arc::new(KeeperStats::default());
            let census = AudienceSync::new(PendingUsers::default(), now);
            (Keeper::new(census, Arc::clone(&stats), &settings, now), stats)
        };
        let keepers = std::iter::repeat_with(keeper).take(shards).collect();
        let lane = lanes.remove(0);
        Self { hub, lane: Box::pin(lane.run()), nudged, keepers, paused_until: 0, ahead_ms: 0 }
    }

    /// Gives a keeper an input and executes its commands. Returns the calls that it makes.
    pub(super) fn give(
        &mut self,
        shard: usize,
        (now, random, acts): (Instant, f64, bool),
        input: impl FnOnce(&mut Keeper, &Moment<'_>),
    ) -> Vec<ShardCall> {
        let Self { hub, keepers, .. } = self;
        let viewers_here = |stream: &StreamId| hub.viewers_here(stream);
        let moment = Moment { now, random, viewers_here: &viewers_here };
        let keeper = &mut keepers[shard].0;
        input(keeper, &moment);
        if acts {
            keeper.act(&moment);
        }
        let mut calls = Vec::new();
        while let Some(command) = keeper.next_command() {
            match command {
                Command::Call(call) => calls.push(call),
                Command::Open { stream, floor, items } => hub.open(&stream, floor, items),
                Command::Deliver { stream, items } => _ = hub.deliver(&stream, items),
                Command::Retire(stream) => {
                    let is_forgotten = hub.retire(&stream);
                    keeper.retired(&stream, is_forgotten, &moment);
                }
                Command::TellViewers { stream, viewers } => hub.tell_viewers(&stream, viewers),
                Command::NoteElsewhere { stream, viewers } => hub.watched_elsewhere(&stream, viewers),
                Command::MeasureCarriage { .. } | Command::LogOutage(_) => {}
            }
        }
        calls
    }

    /// Lets the lane write what is due.
    pub(super) fn write(&mut self) {
        // The lane never ends.
        let _ = self.lane.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }

    /// Takes the streams to look at.
    pub(super) fn take_nudged(&self) -> BTreeSet<StreamId> {
        std::mem::take(&mut *self.nudged.0.lock())
    }

    pub(super) fn is_nudged(&self) -> bool {
        !self.nudged.0.lock().is_empty()
    }

    /// Returns whether a shard can be used, as far as the pod knows.
    pub(super) fn is_connected(&self, shard: usize) -> bool {
        self.keepers[shard].1.connected.load(Relaxed)
    }

    /// Viewers, streams, and subscriptions as the keepers know them.
    pub(super) fn holds(&self) -> (u64, u64, u64) {
        let totals = self.hub.totals();
        let subscriptions = self.keepers.iter().map(|(_, stats)| stats.subscriptions.load(Relaxed)).sum();
        (totals.viewers as u64, totals.streams as u64, subscriptions)
    }
}
