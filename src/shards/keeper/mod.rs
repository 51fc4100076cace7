//! The keeper of one shard, as a pure machine: it is given what happens, and returns what to do about it.
//!
//! It subscribes to what is watched, opens what comes, mends what does not fit, and delivers. It has no clock, no random
//! numbers and no I/O: each input brings its [`Moment`], and the [`driver::Driver`] executes the
//! commands. So whatever can happen to it can be simulated, in any order and at any speed.

mod backoff;
mod census;
pub(in crate::shards) mod chain;
pub(in crate::shards) mod command;
mod compare;
mod comparisons;
pub(in crate::shards) mod driver;
mod inspect;
pub(in crate::shards) mod inspector;
pub(in crate::shards) mod interest;
pub(in crate::shards) mod reads;
pub(in crate::shards) mod stats;
mod stream;

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

pub(super) use self::command::{Command, Completion, Moment, ShardCall};
use self::{
    backoff::Backoff,
    chain::Outcome,
    comparisons::Comparisons,
    interest::{Interest, Step},
    reads::{Read, Reads},
    stats::{KeeperStats, count},
    stream::StreamTable,
};
use crate::{
    domain::{PlantedFault, StreamId},
    protocol::{BadEnvelope, Entry},
    shards::{
        audience::sync::AudienceSync,
        backend::{
            outage::Outage,
            types::{Event, HistorySlice, Unavailable},
        },
        settings::ShardSettings,
    },
};

/// How often [`Keeper::tick`] is due: lingers, audits, and what failed.
pub(in crate::shards) const TICK: Duration = Duration::from_millis(100);
/// An outage that is shorter is not logged.
const BLIP: Duration = Duration::from_secs(1);

/// The keeper of one shard.
///
/// After each input, or some of them, [`Self::act`] starts what is due, and [`Self::next_command`] is called until it
/// returns `None`.
pub(in crate::shards) struct Keeper {
    interest: Interest,
    /// After a subscription that failed.
    step_backoff: Backoff,
    streams: StreamTable,
    comparisons: Comparisons,
    reads: Reads,
    census: AudienceSync,
    outage: Outage,
    stats: Arc<KeeperStats>,
    /// What is to be done, in order.
    commands: VecDeque<Command>,
}

impl Keeper {
    pub(in crate::shards) fn new(
        census: AudienceSync,
        stats: Arc<KeeperStats>,
        settings: &ShardSettings,
        now: Instant,
    ) -> Self {
        Self {
            interest: Interest::new(settings.linger),
            step_backoff: Backoff::default(),
            streams: StreamTable::default(),
            comparisons: Comparisons::new(settings.history_ttl / 4, now),
            reads: Reads::default(),
            census,
            outage: Outage::with_grace(BLIP),
            stats,
            commands: VecDeque::new(),
        }
    }

    /// Returns the next thing to do.
    pub(in crate::shards) fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Returns the streams that are watched on this pod.
    pub(in crate::shards) fn wanted(&self) -> impl Iterator<Item = &StreamId> {
        self.interest.wanted()
    }

    /// Looks whether a stream is watched: the hub asked for it.
    pub(in crate::shards) fn look(&mut self, stream: &StreamId, moment: &Moment<'_>) {
        let is_watched = (moment.viewers_here)(stream) > 0;
        if is_watched && self.interest.subscription(stream).1.is_some() {
            // While nobody watched here, the shard told nothing of those who watch elsewhere.
            self.count_out_of_turn(std::slice::from_ref(stream), moment);
        }
        if !self.interest.look(stream, is_watched, moment.now, moment.random) {
            // Its viewers came and went between two looks: nothing was subscribed to, and no linger will end.
            self.commands.push_back(Command::Retire(stream.clone()));
        }
    }

    /// Takes the outcome of [`Command::Retire`].
    pub(in crate::shards) fn retired(&mut self, stream: &StreamId, is_forgotten: bool, moment: &Moment<'_>) {
        if is_forgotten {
            self.streams.remove(stream);
        } else {
            // Somebody came just now; the nudge for it may have been taken before.
            self.look(stream, moment);
        }
    }

    /// Takes what the shard tells.
    pub(in crate::shards) fn event(&mut self, event: Event, moment: &Moment<'_>) {
        match event {
            Event::Connected(connection) => {
                self.stats.connected.store(true, Relaxed);
                self.step_backoff.on_success();
                self.reads.on_success();
                self.interest.connected(connection);
                self.census.repeat();
            }
            Event::Disconnected => {
                self.stats.connected.store(false, Relaxed);
                self.interest.disconnected();
            }
            Event::Message { stream, payload } => self.message(stream, &payload, moment.now),
            Event::Elsewhere(told) => self.elsewhere(told),
            // Only measured.
            Event::Probed(_) => {}
            Event::Overrun => {
                tracing::warn!(
                    shard = self.stats.shard,
                    "messages dropped by this pod: every stream is compared with its history"
                );
                count(&self.stats.overruns);
                let mut granted: Vec<_> = self.interest.granted().cloned().collect();
                granted.sort_unstable();
                self.doubt(granted);
                self.census.repeat();
            }
        }
    }

    fn message(&mut self, stream: StreamId, payload: &Bytes, now: Instant) {
        count(&self.stats.received);
        let entry = match Entry::decode(payload) {
            Ok(entry) => entry,
            Err(error @ (BadEnvelope::Version | BadEnvelope::Garbage)) => {
                tracing::debug!(shard = self.stats.shard, %error, "payload on a stream's channel skipped");
                count(&self.stats.strange);
                return;
            }
        };
        let Some(state) = self.streams.get_mut(&stream) else {
            count(&self.stats.unwatched);
            return;
        };
        self.commands.push_back(Command::MeasureCarriage { at_ms: entry.at_ms });
        state.spoke = Some(now);
        if !std::mem::replace(&mut state.is_audited, true) {
            self.comparisons.audit(stream.clone(), now);
        }
        let (generation, outcome) = (state.generation, state.chain.take(entry));
        self.carry_out(stream, generation, outcome);
    }

    fn carry_out(&mut self, stream: StreamId, generation: u64, outcome: Outcome) {
        let Outcome { opens_at, items, read, repair } = outcome;
        if let Some(repair) = repair {
            self.stats.note(repair, &stream);
        }
        if let Some(span) = read {
            self.reads.ask(stream.clone(), generation, span);
        }
        if let Some(floor) = opens_at {
            self.commands.push_back(Command::Open { stream, floor, items });
        } else if !items.is_empty() {
            self.commands.push_back(Command::Deliver { stream, items });
        }
    }

    /// Takes the completion of a [`Command::Call`].
    pub(in crate::shards) fn completed(&mut self, completion: Completion, moment: &Moment<'_>) {
        match completion {
            Completion::Subscribed(streams, Ok(connection)) => {
                self.step_backoff.on_success();
                let granted = self.interest.subscribed(streams, connection);
                self.count_before_opening(&granted, moment);
                granted.into_iter().for_each(|stream| self.granted(stream));
            }
            Completion::Unsubscribed(streams, Ok(())) => {
                let retired = self.interest.unsubscribed(streams);
                self.commands.extend(retired.into_iter().map(Command::Retire));
            }
            Completion::Subscribed(streams, Err(Unavailable)) => {
                self.failed(Step::Subscribe(streams), moment);
            }
            Completion::Unsubscribed(streams, Err(Unavailable)) => {
                self.failed(Step::Unsubscribe(streams), moment);
            }
            Completion::Read(read, slice) => self.read(read, slice, moment),
            Completion::Heads(streams, heads) => self.compared(streams, heads, moment),
            Completion::Counted(call, answer) => self.counted(call, answer, moment.now),
        }
    }

    fn failed(&mut self, step: Step, moment: &Moment<'_>) {
        self.step_backoff.on_failure(moment.now, moment.random);
        self.interest.failed(step);
    }

    /// A subscription is in force: from here on nothing is missed, so what came before is looked up.
    fn granted(&mut self, stream: StreamId) {
        let state = self.streams.enter(&stream);
        if state.chain.head().is_some() {
            if PlantedFault::KeeperTrustsResubscription.is_planted() {
                return;
            }
            self.doubt([stream]);
        } else if let Some(span) = state.chain.check() {
            self.reads.ask(stream, state.generation, span);
        }
    }

    fn read(&mut self, read: Read, slice: Result<HistorySlice, Unavailable>, moment: &Moment<'_>) {
        self.reads.on_completed();
        let Some(state) = self.streams.of_generation(&read.stream, read.generation) else { return };
        match slice {
            Ok(slice) => {
                self.reads.on_success();
                let outcome = state.chain.settle(&slice);
                self.carry_out(read.stream, read.generation, outcome);
            }
            Err(Unavailable) => {
                self.reads.on_failure(moment.now, moment.random);
                // Until then it counts as under way, and what comes live is kept for it.
                self.reads.retry_later(read);
            }
        }
    }

    fn retry_reads(&mut self) {
        if PlantedFault::KeeperForgetsFailedReads.is_planted() {
            return;
        }
        for Read { stream, generation, .. } in self.reads.take_failed() {
            let Some(state) = self.streams.of_generation(&stream, generation) else { continue };
            state.chain.failed();
            if let Some(span) = state.chain.check() {
                self.reads.ask(stream, generation, span);
            }
        }
    }

    /// Looks at what time alone makes due; `is_up` says whether the shard can be used.
    pub(in crate::shards) fn tick(&mut self, is_up: bool, moment: &Moment<'_>) {
        let now = moment.now;
        let notice = if is_up { self.outage.is_over(now) } else { self.outage.goes_on(now) };
        self.commands.extend(notice.map(Command::LogOutage));
        self.audit(now);
        self.census.tick(now);
        if self.census.is_due(now) {
            self.census_round(moment);
        }
        self.stats.subscriptions.store(self.interest.subscriptions() as u64, Relaxed);
        self.stats.linger_hits.store(self.interest.linger_hits(), Relaxed);
    }

    /// Starts what is due and may start. What failed waits for a while, and holds nothing else up.
    pub(in crate::shards) fn act(&mut self, moment: &Moment<'_>) {
        self.count(moment);
        if !self.step_backoff.is_backing_off(moment.now)
            && let Some(step) = self.interest.next_step(moment.now)
        {
            self.stats.note_step(&step);
            self.commands.push_back(Command::Call(match step {
                Step::Subscribe(streams) => ShardCall::Subscribe(streams),
                Step::Unsubscribe(streams) => ShardCall::Unsubscribe(streams),
            }));
        }
        let may_retry = !self.reads.is_backing_off(moment.now);
        if may_retry {
            self.retry_reads();
        }
        while let Some(read) = self.reads.begin() {
            self.commands.push_back(Command::Call(ShardCall::Read(read)));
        }
        if may_retry {
            self.compare();
        }
    }
}
