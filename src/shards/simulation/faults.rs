//! The steps of a plan, and the end of all faults.

use super::{
    plan::{PlanStep, Return},
    world::{Happening, SimulatedWorld},
};

/// A pod gives up a connection on which nothing came for so long, in milliseconds.
const DEAF_MS: u64 = 2_500;

impl SimulatedWorld {
    pub(super) fn step(&mut self, step: PlanStep) {
        let now = self.now_ms;
        match step {
            PlanStep::Join(viewer, pod) => self.join(viewer, pod),
            PlanStep::Leave(viewer) => self.leave(viewer),
            PlanStep::Lag(viewer, room, ms) => self.lag(viewer, room, ms),
            PlanStep::Post(stream, pod) => self.post(stream, pod),
            PlanStep::Cut(pod, shard, ms) => {
                self.disconnect((pod, shard));
                self.net.links[pod][shard].cut_until = now + ms;
            }
            PlanStep::Garble(pod, shard, ms) => self.net.links[pod][shard].garbled_until = now + ms,
            PlanStep::LoseCalls(pod, shard, ms) => self.net.links[pod][shard].loses_until = now + ms,
            PlanStep::Freeze(shard, ms) => self.freeze(shard, ms),
            PlanStep::Crash(shard, ms, how) => self.crash(shard, ms, how),
            PlanStep::Restart(shard) => self.net.servers[shard].is_up = true,
            PlanStep::Deafen(shard) => self.deafen(shard),
            PlanStep::Replicate(shard) => self.net.servers[shard].replicate(),
            PlanStep::RefuseWrites(shard, ms) => self.net.servers[shard].refuses_until = now + ms,
            PlanStep::Slow(shard, ms) => self.net.servers[shard].slow_until = now + ms,
            PlanStep::Pause(pod, ms) => {
                let until = &mut self.pods[pod].paused_until;
                *until = (*until).max(now + ms);
            }
            PlanStep::SetClock(pod, ahead_ms) => self.pods[pod].ahead_ms = ahead_ms,
        }
    }

    fn freeze(&mut self, shard: usize, ms: u64) {
        let until = &mut self.net.servers[shard].frozen_until;
        *until = (*until).max(self.now_ms + ms);
        if ms > DEAF_MS {
            self.after(DEAF_MS, Happening::Step(PlanStep::Deafen(shard)));
        }
    }

    /// The pods notice that a frozen shard says nothing.
    fn deafen(&mut self, shard: usize) {
        if self.net.servers[shard].frozen_until > self.now_ms {
            (0..self.pods.len()).for_each(|pod| self.disconnect((pod, shard)));
        }
    }

    fn crash(&mut self, shard: usize, ms: u64, how: Return) {
        let server = &mut self.net.servers[shard];
        server.crash();
        match how {
            Return::Whole => server.restart(),
            Return::Empty => server.wipe(),
            Return::Copy => server.fail_over(),
        }
        self.net.rolled_back |= how == Return::Copy;
        if how != Return::Whole {
            let (time, shards) = (self.time(), self.net.servers.len());
            let streams = self.net.streams.iter().enumerate().filter(|(n, _)| n % shards == shard);
            self.net.forgotten.extend(streams.map(|(_, stream)| (stream.to_string(), time)));
        }
        (0..self.pods.len()).for_each(|pod| self.disconnect((pod, shard)));
        self.after(ms, Happening::Step(PlanStep::Restart(shard)));
    }

    /// Every fault ends, and viewers that are out come in. What stands still goes on at its own time: what waits for that
    /// would be overtaken by what does not.
    pub(super) fn heal(&mut self) {
        self.ending.is_healed = true;
        for server in &mut self.net.servers {
            (server.refuses_until, server.slow_until) = (0, 0);
            server.is_up = true;
        }
        for link in self.net.links.iter_mut().flatten() {
            (link.garbled_until, link.loses_until, link.cut_until) = (0, 0, 0);
        }
        for viewer in 0..self.viewers.len() {
            if self.viewers[viewer].is_in() {
                self.lag(viewer, usize::MAX, 0);
            } else {
                self.join(viewer, viewer % self.pods.len());
            }
        }
    }
}
