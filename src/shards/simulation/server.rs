//! A simulated shard: the embedded one's histories, and what a Redis does around them.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    domain::{Accepted, PublishError, StreamId},
    shards::backend::{
        memory::{Embedded, Keep},
        types::{AudienceCount, Counted, Event, Events, Post},
    },
};

/// A pod, and how many watch streams on other pods.
type Told = (usize, Vec<(StreamId, u64)>);

/// A shard's process.
pub(super) struct SimulatedShard {
    keep: Keep,
    store: (Embedded, Events),
    copy: (Embedded, Events),
    /// Whether it runs.
    pub(super) is_up: bool,
    /// It does nothing before this time.
    pub(super) frozen_until: u64,
    /// It takes no posts before this time.
    pub(super) refuses_until: u64,
    /// It answers slowly before this time.
    pub(super) slow_until: u64,
    /// Answers of an earlier process do not arrive.
    pub(super) process: u64,
    /// How many watch each stream on each pod.
    counts: BTreeMap<usize, BTreeMap<StreamId, u64>>,
}

impl SimulatedShard {
    pub(super) fn new(keep: Keep) -> Self {
        let (store, copy, counts) = (Embedded::new(keep), Embedded::new(keep), BTreeMap::new());
        let (frozen_until, refuses_until, slow_until) = (0, 0, 0);
        Self { keep, store, copy, is_up: true, frozen_until, refuses_until, slow_until, process: 0, counts }
    }

    pub(super) fn store(&self) -> &Embedded {
        &self.store.0
    }

    /// Ends the process.
    pub(super) fn crash(&mut self) {
        self.is_up = false;
        self.process += 1;
    }

    pub(super) fn replicate(&mut self) {
        self.copy = self.store().copy();
    }

    /// Forgets everything.
    pub(super) fn wipe(&mut self) {
        self.store = Embedded::new(self.keep);
        self.counts.clear();
    }

    /// Starts another process with everything.
    pub(super) fn restart(&mut self) {
        self.store = self.store().copy();
    }

    /// Goes back to the copy.
    pub(super) fn fail_over(&mut self) {
        self.store = self.copy.0.copy();
    }

    /// Takes a post; returns the answer, and what is sent to the subscribers.
    pub(super) fn publish(
        &mut self,
        stream: &StreamId,
        post: Post,
    ) -> (Result<Accepted, PublishError>, Option<Bytes>) {
        let (store, events) = &mut self.store;
        store.subscribe(std::slice::from_ref(stream));
        let answer = store.publish(stream, post);
        let mut sent = None;
        while let Some(event) = events.try_next() {
            if let Event::Message { payload, .. } = event {
                sent = Some(payload);
            }
        }
        (answer, sent)
    }

    /// Counts a pod's viewers; returns the answer, and what other pods are told.
    pub(super) fn count(&mut self, pod: usize, told: &[AudienceCount]) -> (Counted, Vec<Told>) {
        let is_new = !self.counts.contains_key(&pod);
        let of_pod = self.counts.entry(pod).or_default();
        for AudienceCount { stream, viewers, .. } in told {
            of_pod.insert(stream.clone(), *viewers);
        }
        let elsewhere = told.iter().map(|count| self.elsewhere(pod, &count.stream)).collect();
        let others = self.counts.keys().filter(|other| **other != pod);
        let told = others.map(|other| {
            let streams = told.iter().map(|count| &count.stream);
            (*other, streams.map(|stream| (stream.clone(), self.elsewhere(*other, stream))).collect())
        });
        (Counted::Taken { is_new, is_more: false, elsewhere }, told.collect())
    }

    fn elsewhere(&self, pod: usize, stream: &StreamId) -> u64 {
        let others = self.counts.iter().filter(|(other, _)| **other != pod);
        others.filter_map(|(_, streams)| streams.get(stream)).sum()
    }
}
