//! The pods of a track, as they tell each other through a shard.

use super::{
    Shards,
    backend::{Shard, redis::Link},
    track::Change,
};
use crate::{
    domain::StreamId,
    readiness::{Fleet, FleetView, Heartbeat, LeaseRequest},
};

/// The name whose owner keeps the fleet.
const FLEET: &str = "fleet";

impl Fleet for Shards {
    async fn beat(&self, beat: &Heartbeat) -> Option<FleetView> {
        *self.0.last_beat.lock() = Some(beat.clone());
        let fleet: StreamId = FLEET.parse().ok()?;
        match &self.of(&fleet).shard {
            // Nobody else knows this shard.
            Shard::Embedded(_) => Some(FleetView::alone(beat)),
            Shard::Redis(link) => {
                let view = link.beat(beat, self.0.ring_epoch).await.ok();
                if view.is_some() && beat.request != LeaseRequest::Gone {
                    self.look_for_missing(link, beat).await;
                }
                view
            }
        }
    }
}

impl Shards {
    /// Takes this pod's leave of the fleet, if its heart has not done so.
    pub(super) async fn leave_fleet(&self) {
        let last = self.0.last_beat.lock().clone();
        if let Some(last) = last.filter(|beat| beat.request != LeaseRequest::Gone) {
            self.beat(&Heartbeat { request: LeaseRequest::Gone, ready: false, ..last }).await;
        }
    }

    /// Logs each pod of the track that stopped reporting without taking its leave, and its return.
    async fn look_for_missing(&self, link: &Link, beat: &Heartbeat) {
        let Ok(seen) = link.track(&beat.track).await else { return };
        // This pod has reported just now: that is the shard's time.
        let Some(now_ms) = seen.get(&beat.pod).copied() else { return };
        let changes = self.0.track.lock().look(seen, now_ms);
        let track = &beat.track;
        for change in changes {
            match change {
                Change::Missing(pod, age_ms) => {
                    tracing::warn!(track, pod, last_seen_s = age_ms / 1_000, "pod missing from its track");
                }
                Change::Back(pod) => tracing::info!(track, pod, "pod back on its track"),
            }
        }
    }
}
