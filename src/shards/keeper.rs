//! The keeper of one shard: subscribes to what is watched, opens what comes, mends what does not fit, delivers.

mod census;
mod compare;
mod explain;
mod outage;

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    Settings,
    backoff::Backoff,
    census::{Call, Census},
    chain::Outcome,
    clock::Clock,
    interest::{Interest, Step},
    kept::Kept,
    kinds::{OfShard, Shard},
    nudges::Dirty,
    outage::Outage,
    questions::Question,
    reads::{Read, Reads},
    report::{Report, count},
    shard::{ConnectionId, Counted, Event, Events, Unavailable, Window},
};
use crate::{
    domain::{Position, StreamId},
    hub::Hub,
    protocol::{BadEnvelope, Entry},
    telemetry::Sli,
};

/// How often the keeper looks at what time alone makes due: lingers, audits, and what failed.
const TICK: Duration = Duration::from_millis(100);
/// How long a stream is quiet before it is audited: a lost last message is found so.
const QUIET: Duration = Duration::from_secs(10);
/// An outage that is shorter is not logged.
const BLIP: Duration = Duration::from_secs(1);
/// The most events that are handled before anything else has its turn.
const BURST: usize = 256;

/// The keeper of one shard.
pub(super) struct Keeper {
    name: String,
    shard: Shard,
    clock: Clock,
    sli: Sli,
    hub: Hub,
    interest: Interest,
    streams: HashMap<StreamId, Kept>,
    /// Streams whose head has to be compared with the shard's, each once.
    to_compare: VecDeque<StreamId>,
    comparing: bool,
    reads: Reads,
    /// How many streams were ever kept.
    lives: u64,
    /// Streams that spoke, by the time at which they may have been quiet for long enough.
    audits: VecDeque<(Instant, StreamId)>,
    census: Census,
    /// How often every stream is compared, so that the shard keeps the history of one that is watched in silence.
    touch_every: Duration,
    touch_at: Instant,
    /// After a subscription that failed.
    step_pause: Backoff,
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>,
    report: Arc<Report>,
    outage: Outage,
}

/// A command that was answered.
enum Done {
    Subscribed(Vec<StreamId>, Result<ConnectionId, Unavailable>),
    Unsubscribed(Vec<StreamId>, Result<(), Unavailable>),
    Read(Read, Result<Window, Unavailable>),
    Compared(Vec<StreamId>, Result<Vec<Option<Position>>, Unavailable>),
    Counted(Call, Result<Counted, Unavailable>),
}

impl Keeper {
    pub(super) fn new(of: OfShard, hub: Hub, settings: &Settings) -> Self {
        let OfShard { name, shard, clock, report, census } = of;
        let sli = hub.sli().clone();
        let touch_every = settings.history_ttl / 4;
        Self {
            name,
            shard,
            clock,
            sli,
            hub,
            interest: Interest::new(settings.linger),
            streams: HashMap::new(),
            to_compare: VecDeque::new(),
            comparing: false,
            reads: Reads::default(),
            lives: 0,
            audits: VecDeque::new(),
            census,
            touch_every,
            touch_at: Instant::now() + touch_every,
            step_pause: Backoff::default(),
            under_way: FuturesUnordered::new(),
            report,
            outage: Outage::with_grace(BLIP),
        }
    }

    /// Keeps the shard for ever. Returns only if the shard's events end.
    pub(super) async fn run(
        mut self,
        mut events: Events,
        nudges: Dirty,
        mut asked: mpsc::Receiver<Question>,
    ) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BURST);
        loop {
            tokio::select! {
                count = events.some(&mut batch, BURST) => {
                    if count == 0 {
                        return;
                    }
                    batch.drain(..).for_each(|event| self.event(event));
                }
                streams = nudges.take() => {
                    let now = Instant::now();
                    streams.iter().for_each(|stream| self.look(stream, now));
                }
                Some(done) = self.under_way.next() => self.done(done),
                Some(question) = asked.recv() => self.explain(question),
                _ = tick.tick() => self.tick(Instant::now()),
            }
            self.act(Instant::now());
        }
    }

    fn look(&mut self, stream: &StreamId, now: Instant) {
        let watched = self.hub.is_watched(stream);
        if !self.interest.look(stream, watched, now, rand::random()) {
            // Its viewers came and went between two looks: nothing was subscribed to, and no linger will end.
            self.retire(stream);
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Connected(connection) => {
                self.report.connected.store(true, Relaxed);
                self.step_pause.on_success();
                self.reads.on_success();
                self.interest.connected(connection);
                self.census.repeat();
            }
            Event::Disconnected => {
                self.report.connected.store(false, Relaxed);
                self.interest.disconnected();
            }
            Event::Message { stream, payload } => self.message(stream, &payload),
            Event::Elsewhere(told) => self.elsewhere(told),
            Event::Probed(took) => self.sli.probed(&self.name, took),
            Event::Overrun => {
                tracing::warn!(
                    "messages of a shard were lost on the way: every stream is compared with its history"
                );
                count(&self.report.overruns);
                let granted: Vec<_> = self.interest.granted().cloned().collect();
                self.doubt(granted);
                self.census.repeat();
            }
        }
    }

    fn message(&mut self, stream: StreamId, payload: &Bytes) {
        count(&self.report.received);
        let entry = match Entry::decode(payload) {
            Ok(entry) => entry,
            Err(error @ (BadEnvelope::Version | BadEnvelope::Garbage)) => {
                tracing::debug!(%error, "a payload on a stream's channel was skipped");
                count(&self.report.strange);
                return;
            }
        };
        let Some(kept) = self.streams.get_mut(&stream) else {
            count(&self.report.unwatched);
            return;
        };
        self.sli.carried(self.clock.since(entry.at_ms, &self.sli));
        let now = Instant::now();
        kept.spoke = Some(now);
        if !std::mem::replace(&mut kept.audited, true) {
            self.audits.push_back((now + QUIET, stream.clone()));
        }
        let (life, outcome) = (kept.life, kept.chain.take(entry));
        self.carry_out(stream, life, outcome);
    }

    fn carry_out(&mut self, stream: StreamId, life: u64, outcome: Outcome) {
        let Outcome { opens_at, mut items, read, repair } = outcome;
        if let Some(repair) = repair {
            self.report.note(repair, &stream);
        }
        if let Some(floor) = opens_at {
            self.hub.open(&stream, floor, items);
        } else if !items.is_empty() {
            self.clock.age(&mut items, &self.sli);
            if !self.hub.deliver(&stream, items) {
                count(&self.report.unwatched);
            }
        }
        if let Some(span) = read {
            self.reads.ask(stream, life, span);
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Subscribed(streams, Ok(connection)) => {
                self.step_pause.on_success();
                let granted = self.interest.subscribed(streams, connection);
                self.count_before_opening(&granted);
                granted.into_iter().for_each(|stream| self.granted(stream));
            }
            Done::Unsubscribed(streams, Ok(())) => {
                for stream in self.interest.unsubscribed(streams) {
                    self.retire(&stream);
                }
            }
            Done::Subscribed(streams, Err(Unavailable)) => self.failed(Step::Subscribe(streams)),
            Done::Unsubscribed(streams, Err(Unavailable)) => self.failed(Step::Unsubscribe(streams)),
            Done::Read(read, window) => self.read(read, window),
            Done::Compared(streams, heads) => self.compared(streams, heads),
            Done::Counted(call, answer) => self.counted(call, answer, Instant::now()),
        }
    }

    fn failed(&mut self, step: Step) {
        self.step_pause.on_failure(Instant::now(), rand::random());
        self.interest.failed(step);
    }

    /// A subscription is in force: from here on nothing is missed, so what came before is looked up.
    fn granted(&mut self, stream: StreamId) {
        let kept = self.streams.entry(stream.clone()).or_insert_with(|| {
            self.lives += 1;
            Kept { life: self.lives, ..Kept::default() }
        });
        if kept.chain.head().is_some() {
            self.doubt([stream]);
        } else if let Some(span) = kept.chain.check() {
            self.reads.ask(stream, kept.life, span);
        }
    }

    fn retire(&mut self, stream: &StreamId) {
        if self.hub.retire(stream) {
            self.streams.remove(stream);
        } else {
            // Somebody came just now; the nudge for it may have been taken before.
            self.look(stream, Instant::now());
        }
    }

    fn read(&mut self, read: Read, window: Result<Window, Unavailable>) {
        self.reads.on_completed();
        let Some(kept) = self.streams.get_mut(&read.stream).filter(|kept| kept.life == read.life) else {
            return;
        };
        match window {
            Ok(window) => {
                self.reads.on_success();
                let outcome = kept.chain.settle(&window);
                self.carry_out(read.stream, read.life, outcome);
            }
            Err(Unavailable) => {
                self.reads.on_failure(Instant::now(), rand::random());
                // Until then it counts as under way, and what comes live is kept for it.
                self.reads.retry_later(read);
            }
        }
    }

    fn retry_reads(&mut self) {
        for Read { stream, life, .. } in self.reads.take_failed() {
            let Some(kept) = self.streams.get_mut(&stream).filter(|kept| kept.life == life) else { continue };
            kept.chain.failed();
            if let Some(span) = kept.chain.check() {
                self.reads.ask(stream, life, span);
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        self.look_at_health(now);
        while self.audits.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, stream)) = self.audits.pop_front() else { break };
            let Some(kept) = self.streams.get_mut(&stream) else { continue };
            let quiet_at = kept.spoke.map_or(now, |spoke| spoke + QUIET);
            if quiet_at > now {
                self.audits.push_back((quiet_at, stream));
            } else {
                kept.audited = false;
                self.doubt([stream]);
            }
        }
        if now >= self.touch_at {
            self.touch_at = now + self.touch_every;
            let all: Vec<_> = self.streams.keys().cloned().collect();
            self.doubt(all);
            self.census.renew();
        }
        if self.census.is_due(now) {
            self.census_round(now);
        }
        self.report.subscriptions.store(self.interest.subscriptions() as u64, Relaxed);
        self.report.linger_hits.store(self.interest.linger_hits(), Relaxed);
    }

    /// Starts what is due and may start. What failed waits for a while, and holds nothing else up.
    fn act(&mut self, now: Instant) {
        self.count(now);
        if !self.step_pause.is_backing_off(now)
            && let Some(step) = self.interest.next_step(now)
        {
            self.take_step(step);
        }
        let may_retry = !self.reads.is_backing_off(now);
        if may_retry {
            self.retry_reads();
        }
        while let Some(read) = self.reads.begin() {
            let shard = self.shard.clone();
            self.under_way.push(Box::pin(async move {
                let window = shard.read(&read.stream, read.span).await;
                Done::Read(read, window)
            }));
        }
        if may_retry && !self.comparing && !self.to_compare.is_empty() {
            self.compare();
        }
    }

    fn take_step(&mut self, step: Step) {
        let shard = self.shard.clone();
        self.report.note_step(&step);
        self.under_way.push(match step {
            Step::Subscribe(streams) => Box::pin(async move {
                let done = shard.subscribe(&streams).await;
                Done::Subscribed(streams, done)
            }),
            Step::Unsubscribe(streams) => Box::pin(async move {
                let done = shard.unsubscribe(&streams).await;
                Done::Unsubscribed(streams, done)
            }),
        });
    }
}
