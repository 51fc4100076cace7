//! The viewers' ways: in, along the history to the present, and out.

use rand::RngExt as _;

use super::{
    viewer::Need,
    world::{Happening, SimulatedWorld},
};
use crate::shards::backend::types::{HistorySlice, SliceRange};

/// How long until a viewer looks again for what is on its way, in milliseconds.
const AGAIN_MS: u64 = 20;
/// How long until a viewer that was closed comes back, in milliseconds.
const RETURN_MS: u64 = 100;

impl SimulatedWorld {
    pub(super) fn join(&mut self, viewer: usize, pod: usize) {
        let hub = self.pods[pod].hub.clone();
        let one = &mut self.viewers[viewer];
        let stream = one.stream.clone();
        let left = one.is_in().then_some(one.pod);
        one.leave();
        one.join(pod, |outlet| hub.sit(&stream, outlet));
        left.into_iter().chain([pod]).for_each(|pod| self.settle(pod));
        self.meet(viewer, Need::Time);
    }

    pub(super) fn leave(&mut self, viewer: usize) {
        let one = &mut self.viewers[viewer];
        if one.is_in() {
            one.leave();
            let pod = one.pod;
            self.settle(pod);
        }
    }

    /// Sees to what a viewer needs.
    fn meet(&mut self, viewer: usize, need: Need) {
        let visit = self.viewers[viewer].visit;
        match need {
            Need::Nothing => {}
            Need::Time => {
                let delay = self.random.random_range(0..AGAIN_MS);
                self.after(delay, Happening::Visit { viewer, visit });
            }
            Need::History => {
                let shard = self.shard_of_viewer(viewer);
                let delay = self.delay(shard);
                self.after(delay, Happening::ReadFor { viewer, visit });
            }
            Need::Return => {
                self.leave(viewer);
                let visit = self.viewers[viewer].visit;
                self.after(RETURN_MS, Happening::Return { viewer, visit });
            }
        }
    }

    /// A viewer that was closed comes back, to another pod.
    pub(super) fn come_back(&mut self, viewer: usize, visit: u64) {
        if self.viewers[viewer].visit == visit {
            let pod = (self.viewers[viewer].pod + 1) % self.pods.len();
            self.join(viewer, pod);
        }
    }

    pub(super) fn visit(&mut self, viewer: usize, visit: u64) {
        if self.viewers[viewer].visit == visit {
            let need = self.viewers[viewer].step();
            self.meet(viewer, need);
            self.settle(self.viewers[viewer].pod);
        }
    }

    /// The shard reads a history for a viewer.
    pub(super) fn read_for(&mut self, viewer: usize, visit: u64) {
        let shard = self.shard_of_viewer(viewer);
        let server = &self.net.servers[shard];
        let slice =
            server.is_up.then(|| server.store().read(&self.viewers[viewer].stream, SliceRange::WHOLE));
        let delay = self.delay(shard);
        self.after(delay, Happening::HistoryFor { viewer, visit, slice });
    }

    pub(super) fn history_for(&mut self, (viewer, visit): (usize, u64), slice: Option<&HistorySlice>) {
        if self.viewers[viewer].visit == visit {
            let need = self.viewers[viewer].history(slice);
            self.meet(viewer, need);
        }
    }

    /// The lane of a pod writes, and the pod's viewers look what came.
    pub(super) fn write(&mut self, pod: usize) {
        self.pods[pod].write();
        for viewer in 0..self.viewers.len() {
            if self.viewers[viewer].pod == pod && self.viewers[viewer].is_in() {
                let need = self.viewers[viewer].look();
                self.meet(viewer, need);
            }
        }
    }

    /// A viewer's socket takes so many bytes, and then nothing for a while.
    pub(super) fn lag(&mut self, viewer: usize, room: usize, ms: u64) {
        if self.viewers[viewer].is_in() {
            self.viewers[viewer].limit(Some(room));
            let visit = self.viewers[viewer].visit;
            self.after(ms, Happening::Refill { viewer, visit });
        }
    }

    pub(super) fn refill(&mut self, viewer: usize, visit: u64) {
        if self.viewers[viewer].visit == visit {
            self.viewers[viewer].limit(None);
            let need = self.viewers[viewer].drain();
            self.meet(viewer, need);
        }
    }
}
