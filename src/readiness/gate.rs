//! Whether the pod takes new viewers: one place for all who ask.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use super::{
    admission::{Admission, Capacity, Refused},
    fleet::FleetView,
    hysteresis::Hysteresis,
    meter::Reading,
    thresholds::Thresholds,
};

/// A reading older than this tells nothing: whoever made it has died or hangs.
const STALE_AFTER: Duration = Duration::from_secs(10);
/// No load keeps a timer on the workers for so long: something blocks them all.
const STILL_AFTER: Duration = Duration::from_secs(10);
/// From this share of the memory's limit on, no viewer is taken; what is left is for those who are here.
const MEMORY_HIGH: f64 = 0.80;
/// Below this share they are taken again.
const MEMORY_LOW: f64 = 0.75;
/// Below this share of the most viewers, a pod that was full is ready again.
const ROOM_AGAIN: f64 = 0.95;
/// Below this share of the most connections that are no viewers, a pod that had as many is ready again.
const CALM_AGAIN: f64 = 0.75;

/// A reason for not being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The pod does not listen yet.
    Starting,
    /// It is hot, and others of its track have room.
    Cpu,
    /// It has as many viewers as it may.
    Viewers,
    /// Its limit of memory is near.
    Memory,
    /// Its descriptors run out, or it has as many connections that are no viewers as it may.
    Descriptors,
    /// Nobody has read its load lately.
    Sampler,
    /// Its workers stand still.
    Workers,
    /// The pod goes away.
    Draining,
}

/// Whether the pod takes new viewers; a pod with any reason against it does not. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Guards all that is known; held for a look or a change.
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    thresholds: Thresholds,
    reasons: BTreeSet<Reason>,
    reading: Option<(Instant, Reading)>,
    fleet: Option<FleetView>,
    /// When a timer on the workers fired last; none before the first.
    worked: Option<Instant>,
    admission: Admission,
    full: Hysteresis,
    memory: Hysteresis,
    descriptors: Hysteresis,
    connections: Hysteresis,
}

/// What comes in, at the moment of a reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Occupancy {
    /// The viewers.
    pub(super) viewers: usize,
    /// The connections that are no viewers.
    pub(super) connections: usize,
    /// The number of the next descriptor: so many are in use.
    pub(super) descriptors: usize,
}

/// What `/ready` shows of the gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct State {
    /// Whether new viewers should come.
    pub ready: bool,
    /// The reasons against; none if the pod is ready.
    pub reasons: Vec<Reason>,
    /// The last reading of the load.
    #[serde(flatten)]
    pub reading: Option<Reading>,
    /// Above this load the pod gets hot.
    pub high: f64,
    /// Below this load it gets cool.
    pub low: f64,
    /// Whether the load was high for long: handshakes are limited, also if the pod stays ready.
    pub hot: bool,
    /// The most viewers that the pod takes.
    pub max_viewers: usize,
    /// The pods of its track; none if nobody told lately.
    pub fleet: Option<FleetView>,
}

impl Gate {
    /// A gate that is closed because the pod starts.
    #[must_use]
    pub fn new(capacity: Capacity, thresholds: Thresholds) -> Self {
        let inner = Inner {
            thresholds,
            reasons: BTreeSet::from([Reason::Starting]),
            reading: None,
            fleet: None,
            worked: None,
            admission: Admission::new(capacity, Instant::now()),
            full: Hysteresis::default(),
            memory: Hysteresis::default(),
            descriptors: Hysteresis::default(),
            connections: Hysteresis::default(),
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Adds a reason against.
    pub fn close(&self, reason: Reason) {
        self.inner.lock().reasons.insert(reason);
    }

    /// Takes a reason back.
    pub fn open(&self, reason: Reason) {
        self.inner.lock().reasons.remove(&reason);
    }

    /// The reasons against; none if the pod is ready.
    #[must_use]
    pub fn reasons(&self) -> Vec<Reason> {
        self.inner.lock().reasons(Instant::now())
    }

    /// Takes note that the workers work.
    pub fn worked(&self) {
        self.inner.lock().worked = Some(Instant::now());
    }

    /// Whether the workers stand still, so that nothing but a restart of the process may help.
    #[must_use]
    pub fn stands_still(&self) -> bool {
        self.inner.lock().stands_still(Instant::now())
    }

    /// Everything that is known.
    #[must_use]
    pub fn state(&self) -> State {
        let inner = self.inner.lock();
        let reasons = inner.reasons(Instant::now());
        State {
            ready: reasons.is_empty(),
            reasons,
            reading: inner.reading.as_ref().map(|(_, reading)| reading.clone()),
            high: inner.thresholds.high,
            low: inner.thresholds.low,
            hot: inner.admission.is_hot(),
            max_viewers: inner.admission.capacity().viewers,
            fleet: inner.fleet.clone(),
        }
    }

    /// What the pod takes.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        *self.inner.lock().admission.capacity()
    }

    /// Whether one more viewer may come in. `viewers` counts it already; `descriptor` is the number of its socket.
    ///
    /// # Errors
    /// [`Refused`]: why not, and when to try again.
    pub fn admit(&self, viewers: usize, descriptor: usize) -> Result<(), Refused> {
        let mut inner = self.inner.lock();
        let is_memory_short = inner.reasons.contains(&Reason::Memory);
        inner.admission.admit(viewers, descriptor, is_memory_short, Instant::now())
    }

    /// Publishes a reading of the load and what came in until then: the one place that all readings pass.
    pub(super) fn publish(&self, reading: Reading, occupancy: Occupancy) {
        let mut inner = self.inner.lock();
        let Occupancy { viewers, connections, descriptors } = occupancy;
        let capacity = *inner.admission.capacity();
        let limit = capacity.viewers as f64;
        let is_full = inner.full.note(viewers as f64, limit, limit * ROOM_AGAIN);
        inner.set(Reason::Viewers, is_full);
        // A pod that is full of viewers has used its descriptors as it should.
        let limit = capacity.descriptors as f64;
        let are_few = inner.descriptors.note(descriptors as f64, limit, limit * ROOM_AGAIN) && !is_full;
        let limit = capacity.connections as f64;
        let are_many = inner.connections.note(connections as f64, limit, limit * CALM_AGAIN);
        inner.set(Reason::Descriptors, are_few || are_many);
        let is_memory_short = inner.memory.note(reading.memory.unwrap_or(0.0), MEMORY_HIGH, MEMORY_LOW);
        inner.set(Reason::Memory, is_memory_short);
        inner.reading = Some((Instant::now(), reading));
    }

    /// Whether the pod is hot, for as long as that is so.
    pub(super) fn set_hot(&self, is_hot: bool) {
        self.inner.lock().admission.set_hot(is_hot);
    }

    /// What the fleet's shard told; none if it did not answer.
    pub(super) fn set_fleet(&self, view: Option<FleetView>) {
        self.inner.lock().fleet = view;
    }
}

impl Inner {
    fn set(&mut self, reason: Reason, holds: bool) {
        if holds {
            self.reasons.insert(reason)
        } else {
            self.reasons.remove(&reason)
        };
    }

    fn reasons(&self, now: Instant) -> Vec<Reason> {
        let is_fresh = |(at, _): &(Instant, Reading)| now.saturating_duration_since(*at) < STALE_AFTER;
        let mut reasons = self.reasons.clone();
        if !self.reading.as_ref().is_some_and(is_fresh) {
            reasons.insert(Reason::Sampler);
        }
        if self.stands_still(now) {
            reasons.insert(Reason::Workers);
        }
        reasons.into_iter().collect()
    }

    fn stands_still(&self, now: Instant) -> bool {
        self.worked.is_some_and(|at| now.saturating_duration_since(at) >= STILL_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::QuotaSource;

    fn reading(memory: Option<f64>) -> Reading {
        Reading {
            cpu: 0.1,
            quota: 1.0,
            quota_source: QuotaSource::Processors,
            throttled_ms: 0,
            memory,
            cgroup_fault: None,
        }
    }

    fn gate() -> Gate {
        gate_of(Capacity { viewers: 100, ..Capacity::default() })
    }

    fn gate_of(capacity: Capacity) -> Gate {
        let thresholds = Thresholds {
            high: 0.8,
            low: 0.6,
            hot_for: Duration::from_secs(5),
            cool_for: Duration::from_secs(30),
        };
        let gate = Gate::new(capacity, thresholds);
        gate.open(Reason::Starting);
        gate
    }

    /// Fails closed: whoever reads the load may die or hang, and the pod then takes nobody new.
    #[tokio::test(start_paused = true)]
    async fn without_fresh_readings_the_pod_is_not_ready() {
        let gate = gate();
        assert_eq!(gate.reasons(), [Reason::Sampler], "before the first one");
        gate.publish(reading(None), Occupancy::default());
        assert_eq!(gate.reasons(), []);
        tokio::time::advance(STALE_AFTER).await;
        assert_eq!(gate.reasons(), [Reason::Sampler]);
        gate.publish(reading(None), Occupancy::default());
        assert!(gate.state().ready);
    }

    /// P9.
    #[tokio::test(start_paused = true)]
    async fn a_pod_whose_workers_stand_still_is_not_ready_until_they_go_on() {
        let gate = gate();
        for _ in 0..2 {
            gate.worked();
            tokio::time::advance(STILL_AFTER - Duration::from_millis(1)).await;
            gate.publish(reading(None), Occupancy::default());
            assert!(gate.state().ready && !gate.stands_still());
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(gate.stands_still());
            assert_eq!(gate.reasons(), [Reason::Workers]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_pod_and_one_short_of_memory_are_not_ready_until_there_is_room_again() {
        let gate = gate();
        for (viewers, memory, expected) in [
            (99, Some(0.79), vec![]),
            (100, Some(0.79), vec![Reason::Viewers]),
            (96, Some(0.80), vec![Reason::Viewers, Reason::Memory]),
            (94, Some(0.76), vec![Reason::Memory]),
            (94, Some(0.74), vec![]),
            (94, None, vec![]),
        ] {
            gate.publish(reading(memory), Occupancy { viewers, ..Occupancy::default() });
            assert_eq!(gate.reasons(), expected, "{viewers} viewers, memory {memory:?}");
        }
    }

    /// Symptom: 1,100 connections that asked and never read kept everybody out with 503, and `/ready` was 200. Cause:
    /// descriptors were no reason.
    #[tokio::test(start_paused = true)]
    async fn a_pod_short_of_descriptors_or_full_of_connections_is_not_ready_until_there_is_room_again() {
        let capacity = Capacity { viewers: 80, descriptors: 100, connections: 40, ..Capacity::default() };
        let gate = gate_of(capacity);
        for (viewers, connections, descriptors, expected) in [
            (10, 39, 99, vec![]),
            (10, 39, 100, vec![Reason::Descriptors]),
            (10, 39, 95, vec![Reason::Descriptors]),
            (10, 39, 94, vec![]),
            (10, 40, 60, vec![Reason::Descriptors]),
            (10, 30, 60, vec![Reason::Descriptors]),
            (10, 29, 60, vec![]),
            (80, 10, 100, vec![Reason::Viewers]),
        ] {
            gate.publish(reading(None), Occupancy { viewers, connections, descriptors });
            assert_eq!(gate.reasons(), expected, "{viewers}, {connections}, {descriptors}");
        }
    }
}
