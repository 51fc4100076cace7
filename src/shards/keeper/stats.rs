//! What a keeper tells about its shard.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use super::{chain::Repair, interest::Step};
use crate::{
    domain::StreamId,
    shards::backend::{Shard, clock::Clock, condition::Condition},
    telemetry::ShardFigures,
};

/// Counts of one shard, written by its keeper.
#[derive(Debug, Default)]
pub(in crate::shards) struct KeeperStats {
    /// The shard's name, for the log.
    pub(in crate::shards) shard: String,
    pub(in crate::shards) connected: AtomicBool,
    pub(in crate::shards) subscriptions: AtomicU64,
    pub(in crate::shards) subscribe_churn: AtomicU64,
    pub(in crate::shards) unsubscribes: AtomicU64,
    pub(in crate::shards) linger_hits: AtomicU64,
    pub(in crate::shards) received: AtomicU64,
    pub(in crate::shards) unwatched: AtomicU64,
    pub(in crate::shards) strange: AtomicU64,
    pub(in crate::shards) filled: AtomicU64,
    pub(in crate::shards) gaps: AtomicU64,
    pub(in crate::shards) resets: AtomicU64,
    pub(in crate::shards) overruns: AtomicU64,
    /// Whether the shard counts viewers of this pod.
    pub(in crate::shards) counts: AtomicBool,
}

/// The state of one shard as this pod sees it; counts are since the pod's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardStatus {
    /// The shard's name.
    pub name: String,
    /// Whether the pod hears it.
    pub up: bool,
    /// The reason for which it is not heard; none while it is.
    pub reason: Option<String>,
    /// The conditions of its server that weaken or break the promises.
    pub conditions: Vec<Condition>,
    /// How long a message took from this pod through the shard and back, in microseconds; none if none came back lately.
    pub probe_us: Option<u64>,
    /// Streams whose messages come.
    pub subscriptions: u64,
    /// Subscriptions and their ends that were asked for.
    pub subscribe_churn: u64,
    /// Of these, the ends.
    pub unsubscribes: u64,
    /// Viewers who came back before the linger was over.
    pub linger_hits: u64,
    /// Messages that came on streams' channels.
    pub received: u64,
    /// Of these, those that found no viewer.
    pub unwatched: u64,
    /// Of these, those that no pod of this version wrote.
    pub strange: u64,
    /// Holes that were filled from history.
    pub filled: u64,
    /// Holes that could not be filled.
    pub gaps: u64,
    /// Histories that began anew.
    pub resets: u64,
    /// Times at which messages came faster than this pod could take them.
    pub overruns: u64,
    /// Connections of all clients to the shard; none if it does not say.
    pub clients: Option<u64>,
    /// How many connections the shard takes: its `maxclients`.
    pub max_clients: Option<u64>,
    /// How far the shard's clock is ahead of this pod's, in microseconds; none if it is not known.
    pub clock_ahead_us: Option<i64>,
}

impl From<ShardStatus> for ShardFigures {
    fn from(status: ShardStatus) -> Self {
        Self {
            name: status.name,
            up: status.up,
            subscriptions: status.subscriptions,
            subscribes: status.subscribe_churn.saturating_sub(status.unsubscribes),
            unsubscribes: status.unsubscribes,
            linger_hits: status.linger_hits,
            received: status.received,
            unwatched: status.unwatched,
            filled: status.filled,
            gaps: status.gaps,
            resets: status.resets,
            overruns: status.overruns,
            connections: status.clients.zip(status.max_clients),
            conditions: Condition::ALL.map(|one| (one.name(), status.conditions.contains(&one))).into(),
        }
    }
}

impl KeeperStats {
    pub(in crate::shards) fn new(shard: String) -> Self {
        Self { shard, ..Self::default() }
    }

    /// Notes what was found wrong with a stream's order.
    pub(in crate::shards) fn note(&self, repair: Repair, stream: &StreamId) {
        match repair {
            Repair::Filled => count(&self.filled),
            Repair::Gap => {
                count(&self.gaps);
                tracing::info!(shard = self.shard, %stream, "hole not filled: its entries are trimmed from the history");
            }
            Repair::Reset => {
                count(&self.resets);
                tracing::warn!(shard = self.shard, %stream, "stream history replaced by another one");
            }
        }
    }

    /// Notes subscriptions, or ends of them, that are asked for.
    pub(in crate::shards) fn note_step(&self, step: &Step) {
        let (Step::Subscribe(streams) | Step::Unsubscribe(streams)) = step;
        self.subscribe_churn.fetch_add(streams.len() as u64, Relaxed);
        if matches!(step, Step::Unsubscribe(_)) {
            self.unsubscribes.fetch_add(streams.len() as u64, Relaxed);
        }
    }

    pub(in crate::shards) fn status(&self, shard: &Shard, clock: &Clock) -> ShardStatus {
        let read = |count: &AtomicU64| count.load(Relaxed);
        let health = shard.health();
        let up = self.connected.load(Relaxed) && health.up;
        ShardStatus {
            name: self.shard.clone(),
            up,
            reason: (!up).then(|| shard.last_error()),
            conditions: health.conditions.iter().collect(),
            probe_us: health.probe.map(|probe| u64::try_from(probe.as_micros()).unwrap_or(u64::MAX)),
            subscriptions: read(&self.subscriptions),
            subscribe_churn: read(&self.subscribe_churn),
            unsubscribes: read(&self.unsubscribes),
            linger_hits: read(&self.linger_hits),
            received: read(&self.received),
            unwatched: read(&self.unwatched),
            strange: read(&self.strange),
            filled: read(&self.filled),
            gaps: read(&self.gaps),
            resets: read(&self.resets),
            overruns: read(&self.overruns),
            clients: health.clients.map(|(clients, _)| clients),
            max_clients: health.clients.map(|(_, most)| most),
            clock_ahead_us: clock.ahead_us(),
        }
    }
}

/// Counts one more.
pub(in crate::shards) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
