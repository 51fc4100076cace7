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
    instruments::{self, Durations},
    lately::{Lately, Quantiles},
    meters::Meters,
    prometheus, resource,
    tally::Tally,
};

/// What is in time: 99 % should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Objectives {
    /// Deliveries that take longer are late.
    pub deliver: Duration,
    /// Joins that take longer are late.
    pub join: Duration,
}

impl Default for Objectives {
    fn default() -> Self {
        Self { deliver: Duration::from_millis(200), join: Duration::from_millis(500) }
    }
}

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
    delivery: Lately,
    join: Lately,
}

/// Whose pod this is, for the resource of every signal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The pod's name.
    pub pod: String,
    /// The pod's track.
    pub track: String,
}

/// Who wrote to the viewer's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seating {
    /// Its lane: the viewer keeps up.
    Prompt,
    /// Its own task: the viewer was slow, or has just come.
    Lagging,
}

/// What became of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostOutcome {
    /// It is in the stream.
    Acked,
    /// It was there before.
    Duplicate,
    /// A rule forbade it.
    Refused,
    /// The shard did not answer.
    Unknown,
}

/// What became of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JoinSpeed {
    Within,
    Late,
    /// The viewer left when it was late already.
    Abandoned,
}

/// Where a newcomer's first frames came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinSource {
    /// The stream's tape on this pod.
    Tape,
    /// The history on the shard.
    History,
}

/// What the pod tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Logs,
    Spans,
    Metrics,
}

/// The counts at a moment, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Live comments written to a viewer's socket.
    pub deliveries: u64,
    /// Comments left out because a viewer was too slow.
    pub skips: u64,
    /// Viewers' tasks that panicked.
    pub panics: u64,
}

/// Figures that other rooms keep, as they are when somebody asks.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Sockets that watch, or are about to.
    pub viewers: usize,
    /// Streams that are watched, or linger.
    pub streams: usize,
    /// Whether the pod takes new viewers.
    pub ready: bool,
    /// Whether the pod was told to end: what comes after is no fault of it.
    pub draining: bool,
    /// The share of the pod's CPU that it uses; 0 until it is measured.
    pub cpu: f64,
    /// Every shard.
    pub shards: Vec<ShardFigures>,
}

/// One shard as this pod sees it; counts are since the pod's start.
#[derive(Debug, Clone, Default)]
pub struct ShardFigures {
    /// The shard's name.
    pub name: String,
    /// Whether the pod hears it.
    pub up: bool,
    /// Streams whose messages come.
    pub subscriptions: u64,
    /// Subscriptions asked for.
    pub subscribes: u64,
    /// Ends of subscriptions asked for.
    pub unsubscribes: u64,
    /// Viewers who came back before the linger was over.
    pub linger_hits: u64,
    /// Messages that came on streams' channels.
    pub received: u64,
    /// Of these, those that found no viewer.
    pub unwatched: u64,
    /// Holes that were filled from history.
    pub filled: u64,
    /// Holes that could not be filled.
    pub gaps: u64,
    /// Histories that began anew.
    pub resets: u64,
    /// Times at which messages came faster than this pod could take them.
    pub overruns: u64,
    /// Connections of all clients to the shard, and how many it takes; none if it does not say.
    pub connections: Option<(u64, u64)>,
    /// The conditions that weaken or break the promises: the name of each, and whether it holds.
    pub conditions: Vec<(&'static str, bool)>,
}

/// A new set of counts for a pod without a name, with the usual objectives; tests use it.
impl Default for Sli {
    fn default() -> Self {
        Self::new(&Identity::default(), Objectives::default())
    }
}

impl Sli {
    /// A new set of counts for a pod.
    #[must_use]
    pub fn new(identity: &Identity, objectives: Objectives) -> Self {
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
