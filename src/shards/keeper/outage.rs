//! The log lines of a shard's outage.

use std::sync::atomic::Ordering::Relaxed;

use tokio::time::Instant;

use super::{super::outage::Notice, Keeper};

impl Keeper {
    /// Looks whether the shard can be used, and logs the beginning of an outage, reminders of it and its end.
    pub(super) fn look_at_health(&mut self, now: Instant) {
        let is_up = self.shard.health().up && self.report.connected.load(Relaxed);
        let notice = if is_up { self.outage.is_over(now) } else { self.outage.goes_on(now) };
        if let Some(notice) = notice {
            self.log(notice);
        }
    }

    fn log(&self, notice: Notice) {
        let (shard, address, error) = (&self.name, self.shard.address(), self.shard.last_error());
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

    /// How many streams of the shard are watched on this pod, and by how many viewers.
    fn waiting(&self) -> (usize, u64) {
        let viewers = self.interest.wanted().map(|stream| self.hub.viewers_here(stream));
        viewers.fold((0, 0), |(streams, all), viewers| (streams + 1, all + viewers))
    }
}
