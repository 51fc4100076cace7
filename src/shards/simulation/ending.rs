//! The end of a history: everybody has everything, leaves, and nothing is left.

use super::{SimulatedHistory, parts::LAST_POST_MS, pod::SimulatedPod, world::SimulatedWorld};

/// Everybody has everything by then.
const DEADLINE_MS: u64 = LAST_POST_MS + 60_000;
/// Nothing is left so long after the last viewer, in milliseconds.
const REST_MS: u64 = 30_000;

impl SimulatedWorld {
    /// Whether everybody left and nothing remains, or the time for that is over.
    pub(super) fn is_over(&mut self) -> bool {
        if !self.ending.is_healed || !self.ending.is_last_posted {
            return false;
        }
        let Some(left_at) = self.ending.everybody_left_at else {
            if self.everybody_has_everything() || self.now_ms > DEADLINE_MS {
                self.ending.everybody_left_at = Some(self.now_ms);
                (0..self.viewers.len()).for_each(|viewer| self.leave(viewer));
            }
            return false;
        };
        let is_empty = self.pods.iter().all(|pod| pod.holds() == (0, 0, 0)) && self.subscriptions() == 0;
        is_empty || self.now_ms > left_at + REST_MS
    }

    fn everybody_has_everything(&self) -> bool {
        self.everything_is_answered() && self.viewers.iter().all(|viewer| viewer.has_last)
    }

    /// Whether each post was acked.
    pub(super) fn everything_is_answered(&self) -> bool {
        self.posting.waiting.is_empty() && self.posting.repeating == 0
    }

    pub(super) fn into_history(self) -> SimulatedHistory {
        let of_servers = self.subscriptions();
        let rest = |pod: &SimulatedPod| {
            let (viewers, streams, subscriptions) = pod.holds();
            [viewers, streams, subscriptions + of_servers]
        };
        SimulatedHistory {
            rests: self.pods.iter().map(rest).collect(),
            posts: self.posting.posts,
            viewers: self
                .viewers
                .into_iter()
                .map(|viewer| (viewer.stream.to_string(), viewer.frames))
                .collect(),
            forgotten: self.net.forgotten,
            rolled_back: self.net.rolled_back,
            events: self.events,
        }
    }
}
