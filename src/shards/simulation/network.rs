//! The subscribing connections of pods to shards: messages in order, but for faults.

use bytes::Bytes;
use rand::RngExt as _;

use super::{
    plan::PlanStep,
    world::{Happening, SimulatedWorld},
};
use crate::{
    domain::StreamId,
    shards::backend::types::{ConnectionId, Event},
};

/// How long until a connection is tried again, in milliseconds.
const RETRY_MS: u64 = 200;

impl SimulatedWorld {
    pub(super) fn connect(&mut self, pod: usize, shard: usize) {
        let link = &mut self.net.links[pod][shard];
        if link.is_up {
            return;
        }
        if !self.net.servers[shard].is_up || link.cut_until > self.now_ms {
            self.after(RETRY_MS, Happening::Connect(pod, shard));
            return;
        }
        link.id += 1;
        link.is_up = true;
        link.subscribed.clear();
        let id = link.id;
        self.deliver((pod, shard), Event::Connected(ConnectionId(id)));
    }

    /// Ends a connection; what was under way on it arrives before its end, or never.
    pub(super) fn disconnect(&mut self, (pod, shard): (usize, usize)) {
        let is_dropped = self.random.random_bool(0.5);
        let link = &mut self.net.links[pod][shard];
        if !std::mem::replace(&mut link.is_up, false) {
            return;
        }
        link.subscribed.clear();
        if is_dropped {
            link.dropped = link.id;
        }
        self.deliver((pod, shard), Event::Disconnected);
        let delay = self.random.random_range(1..200);
        self.after(delay, Happening::Connect(pod, shard));
    }

    /// Ends every connection within some milliseconds.
    pub(super) fn cut_all(&mut self) {
        for pod in 0..self.pods.len() {
            for shard in 0..self.net.servers.len() {
                let delay = self.random.random_range(0..15);
                self.after(delay, Happening::Step(PlanStep::Cut(pod, shard, 0)));
            }
        }
    }

    /// Sends an event to a pod, in order.
    pub(super) fn deliver(&mut self, (pod, shard): (usize, usize), event: Event) {
        let delay = self.random.random_range(0..4);
        let link = &mut self.net.links[pod][shard];
        link.arrives_ms = link.arrives_ms.max(self.now_ms + delay);
        let (at, connection) = (link.arrives_ms, link.id);
        self.at(at, Happening::Arrive { pod, shard, connection, event });
    }

    pub(super) fn arrive(&mut self, (pod, shard): (usize, usize), connection: u64, event: Event) {
        let is_lost = connection <= self.net.links[pod][shard].dropped;
        if is_lost && !matches!(event, Event::Connected(_) | Event::Disconnected) {
            return;
        }
        let acts = self.random.random_bool(0.7);
        self.give((pod, shard), acts, |keeper, moment| keeper.event(event, moment));
    }

    /// Sends a message to each pod that subscribed to its stream.
    pub(super) fn broadcast(&mut self, stream: &StreamId, shard: usize, payload: &Bytes) {
        for pod in 0..self.pods.len() {
            let link = &self.net.links[pod][shard];
            if !link.is_up || !link.subscribed.contains(stream) {
                continue;
            }
            let event = || Event::Message { stream: stream.clone(), payload: payload.clone() };
            if link.garbled_until > self.now_ms {
                self.garble((pod, shard), event);
            } else {
                self.deliver((pod, shard), event());
            }
        }
    }

    fn garble(&mut self, (pod, shard): (usize, usize), event: impl Fn() -> Event) {
        let connection = self.net.links[pod][shard].id;
        match self.random.random_range(0..5) {
            0 => {
                // A pod that lost messages usually knows that.
                if self.random.random_bool(0.5) {
                    let delay = self.random.random_range(0..100);
                    self.after(delay, Happening::Arrive { pod, shard, connection, event: Event::Overrun });
                }
            }
            1 => {
                let delay = self.random.random_range(0..3_000);
                self.after(delay, Happening::Arrive { pod, shard, connection, event: event() });
            }
            2 => {
                let delay = self.random.random_range(0..2_000);
                self.deliver((pod, shard), event());
                self.after(delay, Happening::Arrive { pod, shard, connection, event: event() });
            }
            _ => self.deliver((pod, shard), event()),
        }
    }

    /// How many subscriptions the shards hold.
    pub(super) fn subscriptions(&self) -> u64 {
        self.net.links.iter().flatten().map(|link| link.subscribed.len() as u64).sum()
    }
}
