//! The events behind the service levels: one method an event, and no instrument's name anywhere else.
//!
//! Counters are the pod's own atomics, which the meters observe; durations go into histograms bound to their
//! attributes before the first event. So no event takes memory, and the only lock is that of a histogram's buckets,
//! once for each message and lane. No attribute names a stream or a person: the number of series does not grow with
//! either.

use std::{sync::Arc, time::Duration};

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

use super::{
    events::{JoinSource, JoinSpeed, Objectives, PostOutcome, Seating, Signal},
    figures::{Counts, Figures},
    instruments::{self, Durations},
    meters::Meters,
    prometheus,
    resource::{self, PodIdentity},
    rolling_histogram::{Quantiles, RollingHistogram},
    tally::Tally,
};

/// Counts events and measures durations. Cloning shares the counts.
#[derive(Clone)]
pub struct Sli(Arc<Inner>);

struct Inner {
    objectives: Objectives,
    tally: Arc<Tally>,
    durations: Durations,
    lately: Latencies,
    meters: Meters,
}

/// What a person sees on the page of a pod.
#[derive(Debug, Default)]
struct Latencies {
    delivery: RollingHistogram,
    join: RollingHistogram,
}

/// A new set of counts for a pod without a name, with the usual objectives; tests use it.
impl Default for Sli {
    fn default() -> Self {
        Self::new(&PodIdentity::default(), Objectives::default())
    }
}

impl Sli {
    /// A new set of counts for a pod.
    #[must_use]
    pub fn new(identity: &PodIdentity, objectives: Objectives) -> Self {
        Self::of(resource::read(identity, |_| None).0, objectives)
    }

    /// A new set of counts for what a resource describes.
    pub(super) fn of(resource: Resource, objectives: Objectives) -> Self {
        let (tally, meters) = (Arc::new(Tally::default()), Meters::new(resource));
        let meter = meters.meter();
        instruments::observe(&meter, &tally);
        let durations = Durations::new(&meter, objectives);
        Self(Arc::new(Inner { objectives, tally, durations, lately: Latencies::default(), meters }))
    }

    /// What is in time on this pod.
    #[must_use]
    pub fn objectives(&self) -> Objectives {
        self.0.objectives
    }

    /// Live comments were written to viewers' sockets; so many of them late.
    pub fn delivered(&self, to: Seating, comments: u64, late: u64) {
        self.0.tally.deliver(to, comments, late);
    }

    /// Viewers missed comments, and are told so.
    pub fn skipped(&self, by: Seating, comments: u64) {
        self.0.tally.skip(by, comments);
    }

    /// A message was written to the last prompt seat of a lane; so long after it was accepted, and after it came here.
    pub fn written(&self, priority: bool, since_accepted: Duration, since_came: Duration) {
        let Durations { delivery, priority_delivery, fanout, .. } = &self.0.durations;
        let delivery = if priority { priority_delivery } else { delivery };
        delivery.record(since_accepted.as_secs_f64());
        self.0.lately.delivery.record(since_accepted);
        fanout.record(since_came.as_secs_f64());
    }

    /// A message came from its shard, so long after the shard took it.
    pub fn carried(&self, took: Duration) {
        self.0.durations.bus.record(took.as_secs_f64());
    }

    /// A shard answered a post.
    pub fn committed(&self, took: Duration) {
        self.0.durations.commit.record(took.as_secs_f64());
    }

    /// A post was answered.
    pub fn posted(&self, outcome: PostOutcome) {
        self.0.tally.post(outcome);
    }

    /// A viewer's first frames were written, so long after its handshake.
    pub fn joined(&self, source: JoinSource, took: Duration) {
        let Durations { tape_join, history_join, .. } = &self.0.durations;
        let histogram = if source == JoinSource::Tape { tape_join } else { history_join };
        histogram.record(took.as_secs_f64());
        self.0.lately.join.record(took);
        self.0.tally.join(if took <= self.0.objectives.join { JoinSpeed::Within } else { JoinSpeed::Late });
    }

    /// A viewer left before its first frames were written. One that left in time is no failure, and no join.
    pub fn abandoned(&self, waited: Duration) {
        if waited > self.0.objectives.join {
            self.0.tally.join(JoinSpeed::Abandoned);
        }
    }

    /// A viewer answered a ping, so long after it was sent.
    pub fn answered(&self, took: Duration) {
        self.0.durations.path.record(took.as_secs_f64());
    }

    /// A viewer's socket is closed.
    pub fn closed(&self, code: u16, reason: &'static str) {
        self.0.tally.close(code, reason);
    }

    /// A probe came back through its shard.
    pub fn probed(&self, shard: &str, took: Duration) {
        self.0.durations.probe.record(took.as_secs_f64(), &[KeyValue::new("shard", shard.to_owned())]);
    }

    /// A time came out negative, and was taken for none: a clock is wrong by more than was corrected.
    pub fn clock_was_negative(&self) {
        self.0.tally.negative_clock();
    }

    /// A timer on the workers fired so late.
    pub fn fired_late(&self, by: Duration) {
        self.0.durations.lag.record(by.as_secs_f64());
    }

    /// A viewer's task panicked; the viewer's socket is gone, the pod goes on.
    pub fn panicked(&self) {
        self.0.tally.panic();
    }

    /// Something that the pod had to tell was not told.
    pub(super) fn dropped(&self, signal: Signal, count: u64) {
        self.0.tally.drop_some(signal, count);
    }

    pub(super) fn lines_dropped(&self) -> u64 {
        self.0.tally.dropped(Signal::Logs)
    }

    /// Says where the figures are that other rooms keep.
    pub fn look_at(&self, figures: impl Fn() -> Figures + Send + Sync + 'static) {
        self.0.tally.look_at(Box::new(figures));
    }

    /// The latencies of deliveries in the last minute or two, as [`Self::written`] was told them; none without any.
    #[must_use]
    pub fn deliveries_lately(&self) -> Option<Quantiles> {
        self.0.lately.delivery.quantiles()
    }

    /// The latencies of joins in the last minute or two; none without any.
    #[must_use]
    pub fn joins_lately(&self) -> Option<Quantiles> {
        self.0.lately.join.quantiles()
    }

    /// The counts so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.tally.counts()
    }

    /// Every instrument in Prometheus' text format.
    #[must_use]
    pub fn prometheus(&self) -> String {
        prometheus::text(&self.0.meters.collect())
    }

    pub(super) fn meters(&self) -> &Meters {
        &self.0.meters
    }
}

impl std::fmt::Debug for Sli {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sli").field(&self.counts()).finish()
    }
}
