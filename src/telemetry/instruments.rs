//! Every instrument: its name, unit, attributes and the edges of its buckets. No name of one stands anywhere else.

use std::sync::Arc;

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, BoundHistogram, Histogram, Meter},
};

use super::{
    events::{JoinSpeed, Objectives, PostOutcome, Signal},
    figures::{Figures, ShardFigures},
    tally::Tally,
};

/// The usual edges of all histograms of durations, in seconds.
const EDGES: [f64; 13] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// Further edges: a pong waits behind what its viewer has not read.
const LONG_EDGES: [f64; 2] = [30.0, 90.0];

/// The edges with both objectives among them, so that the share of what kept to them is a quotient of two counts and no
/// guess.
fn edges(Objectives { deliver, join }: Objectives) -> Vec<f64> {
    let mut edges = EDGES.to_vec();
    edges.extend([deliver, join].map(|objective| objective.as_secs_f64()));
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    edges
}

const SECONDS: &str = "s";

/// The histograms, each bound to its attributes before the first event.
pub(super) struct Durations {
    pub(super) delivery: BoundHistogram<f64>,
    pub(super) priority_delivery: BoundHistogram<f64>,
    pub(super) commit: BoundHistogram<f64>,
    pub(super) bus: BoundHistogram<f64>,
    pub(super) fanout: BoundHistogram<f64>,
    pub(super) tape_join: BoundHistogram<f64>,
    pub(super) history_join: BoundHistogram<f64>,
    /// Once a second and shard: its attribute is looked up.
    pub(super) probe: Histogram<f64>,
    pub(super) lag: BoundHistogram<f64>,
    pub(super) path: BoundHistogram<f64>,
}

impl Durations {
    pub(super) fn new(meter: &Meter, objectives: Objectives) -> Self {
        let histogram = |name, description| {
            let builder = meter.f64_histogram(name).with_unit(SECONDS).with_description(description);
            builder.with_boundaries(edges(objectives)).build()
        };
        let delivery = histogram(
            "fanfare.delivery.duration",
            "From a post's acceptance to its last prompt seat, once a message and lane",
        );
        let stage = histogram(
            "fanfare.delivery.stage.duration",
            "A delivery's stages: commit (post to the shard's answer), bus (shard to pod), fanout (pod to socket)",
        );
        let join = histogram("fanfare.join.duration", "From a viewer's handshake to its first frames");
        let probe = histogram("fanfare.shard.probe.duration", "A message's way through a shard and back");
        let lag = histogram("fanfare.runtime.lag", "How late a timer fires on the workers");
        let path = meter.f64_histogram("fanfare.viewer.path.duration").with_unit(SECONDS);
        let path =
            path.with_description("From a ping to the viewer's pong, behind everything written before it");
        let path = path.with_boundaries(edges(objectives).into_iter().chain(LONG_EDGES).collect()).build();
        let in_stage = |name| stage.bind(&[KeyValue::new("stage", name)]);
        let from = |name| join.bind(&[KeyValue::new("source", name)]);
        Self {
            delivery: delivery.bind(&[KeyValue::new("priority", false)]),
            priority_delivery: delivery.bind(&[KeyValue::new("priority", true)]),
            commit: in_stage("commit"),
            bus: in_stage("bus"),
            fanout: in_stage("fanout"),
            tape_join: from("tape"),
            history_join: from("history"),
            probe,
            lag: lag.bind(&[]),
            path: path.bind(&[]),
        }
    }
}

/// Makes the counters and gauges: they are read when somebody asks for them.
pub(super) fn observe(meter: &Meter, tally: &Arc<Tally>) {
    let eyes = Eyes { meter, tally };
    eyes.viewers();
    eyes.posts();
    eyes.shards();
    eyes.losses();
    eyes.pod();
}

/// Where instruments are made, and what they look at.
struct Eyes<'a> {
    meter: &'a Meter,
    tally: &'a Arc<Tally>,
}

type Counters<'a> = &'a dyn AsyncInstrument<u64>;
type Gauges<'a> = &'a dyn AsyncInstrument<i64>;

impl Eyes<'_> {
    fn counter(
        &self,
        name: &'static str,
        about: (&'static str, &'static str),
        see: fn(&Tally, Counters<'_>),
    ) {
        let (unit, description) = about;
        let tally = Arc::clone(self.tally);
        let builder = self.meter.u64_observable_counter(name).with_unit(unit).with_description(description);
        builder.with_callback(move |counts| see(&tally, counts)).build();
    }

    fn level(&self, name: &'static str, about: (&'static str, &'static str), see: fn(&Figures, Gauges<'_>)) {
        let (unit, description) = about;
        let tally = Arc::clone(self.tally);
        let builder =
            self.meter.i64_observable_up_down_counter(name).with_unit(unit).with_description(description);
        builder.with_callback(move |levels| see(&tally.figures(), levels)).build();
    }

    fn gauge(&self, name: &'static str, description: &'static str, see: fn(&Figures, Counters<'_>)) {
        let tally = Arc::clone(self.tally);
        let builder = self.meter.u64_observable_gauge(name).with_description(description);
        builder.with_callback(move |gauge| see(&tally.figures(), gauge)).build();
    }

    fn viewers(&self) {
        let about = ("{viewer}", "Sockets that watch, or are about to");
        self.level("fanfare.viewers", about, |figures, level| level.observe(signed(figures.viewers), &[]));
        let about = ("{stream}", "Streams that are watched, or linger");
        self.level("fanfare.streams", about, |figures, level| level.observe(signed(figures.streams), &[]));
        let about = ("{comment}", "Live comments to viewers, each counted once; skipped ones were left out");
        self.counter("fanfare.deliveries", about, |tally, counts| {
            for (slo, seat, count) in tally.deliveries() {
                counts.observe(count, &[KeyValue::new("slo", slo), KeyValue::new("seat", seat)]);
            }
        });
        let about = ("{comment}", "Comments that viewers missed: they or their lane were too slow");
        self.counter("fanfare.skips", about, |tally, counts| {
            for (_, seat, count) in tally.deliveries().into_iter().filter(|(slo, ..)| *slo == "skipped") {
                let cause = if seat == "prompt" { "lane" } else { "viewer" };
                counts.observe(count, &[KeyValue::new("cause", cause)]);
            }
        });
        let about = ("{join}", "Viewers that got their first frames, or left when these were late");
        self.counter("fanfare.joins", about, |tally, counts| {
            for (speed, slo, outcome) in [
                (JoinSpeed::Within, "within", "joined"),
                (JoinSpeed::Late, "late", "joined"),
                (JoinSpeed::Abandoned, "late", "abandoned"),
            ] {
                let attributes = [KeyValue::new("slo", slo), KeyValue::new("outcome", outcome)];
                counts.observe(tally.joins(speed), &attributes);
            }
        });
        let about = ("{viewer}", "Sockets that were closed");
        self.counter("fanfare.closes", about, |tally, counts| {
            for (code, reason, count) in tally.closes() {
                let attributes = [KeyValue::new("code", i64::from(code)), KeyValue::new("reason", reason)];
                counts.observe(count, &attributes);
            }
        });
    }

    fn posts(&self) {
        self.counter("fanfare.posts", ("{post}", "Posts, by what became of them"), |tally, counts| {
            for (outcome, name) in [
                (PostOutcome::Acked, "acked"),
                (PostOutcome::Duplicate, "duplicate"),
                (PostOutcome::Refused, "refused"),
                (PostOutcome::Unknown, "unknown"),
            ] {
                counts.observe(tally.posts(outcome), &[KeyValue::new("outcome", name)]);
            }
        });
    }

    fn shards(&self) {
        let about = ("{subscription}", "Streams whose messages come");
        self.level("fanfare.subscriptions", about, |figures, level| {
            each_shard(figures, |shard, is| level.observe(signed(shard.subscriptions), &[is]));
        });
        let about = ("{message}", "Messages that came on streams' channels");
        self.counter("fanfare.messages.received", about, |tally, counts| {
            each_shard(&tally.figures(), |shard, is| counts.observe(shard.received, &[is]));
        });
        let about = ("{message}", "Messages that found no viewer");
        self.counter("fanfare.messages.unwatched", about, |tally, counts| {
            each_shard(&tally.figures(), |shard, is| counts.observe(shard.unwatched, &[is]));
        });
        let about = ("{subscription}", "Subscriptions and their ends that were asked for");
        self.counter("fanfare.subscribe.churn", about, |tally, counts| {
            each_shard(&tally.figures(), |shard, is| {
                counts.observe(shard.subscribes, &[is.clone(), KeyValue::new("op", "subscribe")]);
                counts.observe(shard.unsubscribes, &[is, KeyValue::new("op", "unsubscribe")]);
            });
        });
        let about =
            ("{hit}", "Viewers who came back before the linger was over: subscriptions that were saved");
        self.counter("fanfare.linger.hits", about, |tally, counts| {
            each_shard(&tally.figures(), |shard, is| counts.observe(shard.linger_hits, &[is]));
        });
        self.gauge("fanfare.shard.up", "Whether the pod hears the shard", |figures, gauge| {
            each_shard(figures, |shard, is| gauge.observe(shard.up.into(), &[is]));
        });
        let description = "Whether a condition of the shard's server weakens or breaks the promises";
        self.gauge("fanfare.shard.condition", description, |figures, gauge| {
            each_shard(figures, |shard, is| {
                for (name, holds) in &shard.conditions {
                    gauge.observe((*holds).into(), &[is.clone(), KeyValue::new("condition", *name)]);
                }
            });
        });
        let description = "Connections of all clients to the shard";
        self.gauge("fanfare.redis.connections", description, |figures, gauge| {
            each_shard(figures, |shard, is| {
                shard
                    .connections
                    .iter()
                    .for_each(|(used, _)| gauge.observe(*used, std::slice::from_ref(&is)));
            });
        });
        let description = "Connections that the shard takes: its maxclients";
        self.gauge("fanfare.redis.connections.limit", description, |figures, gauge| {
            each_shard(figures, |shard, is| {
                shard
                    .connections
                    .iter()
                    .for_each(|(_, most)| gauge.observe(*most, std::slice::from_ref(&is)));
            });
        });
    }

    fn losses(&self) {
        fn of(figures: &Figures, count: fn(&ShardFigures) -> u64) -> u64 {
            figures.shards.iter().map(count).sum()
        }
        let about =
            ("{loss}", "Holes found in what shards sent (hole), and times a pod could not keep up (overrun)");
        self.counter("fanfare.losses", about, |tally, counts| {
            let figures = tally.figures();
            let holes = of(&figures, |shard| shard.filled + shard.gaps);
            counts.observe(holes, &[KeyValue::new("cause", "hole")]);
            counts.observe(of(&figures, |shard| shard.overruns), &[KeyValue::new("cause", "overrun")]);
        });
        self.counter(
            "fanfare.repairs",
            ("{loss}", "Holes that were filled from history"),
            |tally, counts| {
                counts.observe(of(&tally.figures(), |shard| shard.filled), &[KeyValue::new("cause", "hole")]);
            },
        );
        let about = ("{loss}", "Holes that could not be filled: the history was trimmed");
        self.counter("fanfare.gaps", about, |tally, counts| {
            counts.observe(of(&tally.figures(), |shard| shard.gaps), &[KeyValue::new("cause", "trimmed")]);
        });
        let about = ("{reset}", "Histories that began anew");
        self.counter("fanfare.resets", about, |tally, counts| {
            counts.observe(of(&tally.figures(), |shard| shard.resets), &[KeyValue::new("cause", "history")]);
        });
    }

    fn pod(&self) {
        let tally = Arc::clone(self.tally);
        let cpu = self.meter.f64_observable_gauge("fanfare.cpu.utilization");
        let description = "The share of its CPU that the pod uses, from 0 to 1";
        let see = move |gauge: &dyn AsyncInstrument<f64>| gauge.observe(tally.figures().cpu, &[]);
        cpu.with_description(description).with_callback(see).build();
        self.gauge("fanfare.ready", "Whether the pod takes new viewers", |figures, gauge| {
            gauge.observe(figures.ready.into(), &[]);
        });
        self.gauge("fanfare.draining", "Whether the pod was told to end", |figures, gauge| {
            gauge.observe(figures.draining.into(), &[]);
        });
        let about = ("{time}", "Times that came out negative, and were taken for none: clocks differ");
        self.counter("fanfare.clock.negative", about, |tally, counts| {
            counts.observe(tally.negative_clocks(), &[]);
        });
        let about = ("{panic}", "Viewers' tasks that panicked");
        self.counter("fanfare.panics", about, |tally, counts| counts.observe(tally.counts().panics, &[]));
        let about = ("{item}", "Lines, spans and pushes of metrics that were left out or did not arrive");
        self.counter("fanfare.telemetry.dropped", about, |tally, counts| {
            for (signal, name) in
                [(Signal::Logs, "logs"), (Signal::Spans, "spans"), (Signal::Metrics, "metrics")]
            {
                counts.observe(tally.dropped(signal), &[KeyValue::new("signal", name)]);
            }
        });
    }
}

fn each_shard(figures: &Figures, mut see: impl FnMut(&ShardFigures, KeyValue)) {
    for shard in &figures.shards {
        see(shard, KeyValue::new("shard", shard.name.clone()));
    }
}

fn signed(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn both_objectives_are_edges_whatever_they_are() {
        assert_eq!(edges(Objectives::default()), EDGES, "no edge stands twice");
        let [deliver, join] = [75, 12_000].map(Duration::from_millis);
        let other = edges(Objectives { deliver, join });
        assert_eq!((other.len(), other[6], other[14]), (15, 0.075, 12.0));
        assert!(other.is_sorted(), "{other:?}");
    }
}
