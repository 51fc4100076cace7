//! The pods of a track, as they tell each other through a shard.

use super::{Shards, kinds::Shard};
use crate::{
    domain::StreamId,
    readiness::{Fleet, FleetView, Heartbeat},
};

/// The name whose owner keeps the fleet.
const FLEET: &str = "fleet";

impl Fleet for Shards {
    async fn beat(&self, beat: &Heartbeat) -> Option<FleetView> {
        let fleet: StreamId = FLEET.parse().ok()?;
        match &self.of(&fleet).shard {
            // Nobody else knows this shard.
            Shard::Embedded(_) => Some(FleetView::alone(beat)),
            Shard::Redis(link) => link.beat(beat, self.0.ring_epoch).await.ok(),
        }
    }
}
