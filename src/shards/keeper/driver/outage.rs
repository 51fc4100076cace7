//! The log lines of a shard's outage.

use super::Driver;
use crate::shards::backend::outage::Notice;

impl Driver {
    /// Logs the beginning of an outage, a reminder of it, or its end.
    pub(in crate::shards) fn log(&self, notice: Notice) {
        let (shard, address, error) = (&self.stats.shard, self.shard.address(), self.shard.last_error());
        let (streams, viewers) = self.waiting();
        match notice {
            Notice::Began => tracing::error!(shard, address, streams, viewers, error, "shard outage began"),
            Notice::Lasts(time) => {
                let lasts_s = time.as_secs();
                tracing::error!(shard, address, streams, viewers, error, lasts_s, "shard outage goes on");
            }
            Notice::Ended(time) => {
                let lasted_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                tracing::info!(shard, address, streams, viewers, lasted_ms, "shard outage ended");
            }
        }
    }

    /// Returns how many streams of the shard are watched on this pod, and by how many viewers.
    fn waiting(&self) -> (usize, u64) {
        let viewers = self.keeper.wanted().map(|stream| self.hub.viewers_here(stream));
        viewers.fold((0, 0), |(streams, all), viewers| (streams + 1, all + viewers))
    }
}
