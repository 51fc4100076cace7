//! Comparing what a keeper knows of streams with what their shard knows: what was lost in silence is found so.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{
    Keeper,
    command::{Command, Moment, ShardCall},
};
use crate::{
    domain::{Position, StreamId},
    shards::shard::Unavailable,
};

/// How long a stream is quiet before it is audited: a lost last message is found so.
const QUIET: Duration = Duration::from_secs(10);
/// The most streams whose heads are asked for at once.
const HEADS: usize = 500;

/// Streams whose head has to be compared with the shard's, and when.
pub(super) struct Comparisons {
    /// Streams to compare, each once.
    due: VecDeque<StreamId>,
    is_under_way: bool,
    /// Streams that spoke, by the time at which they may have been quiet for long enough; each once.
    audits: VecDeque<(Instant, StreamId)>,
    /// How often every stream is compared, so that the shard keeps the history of one that is watched in silence.
    all_every: Duration,
    all_at: Instant,
}

impl Comparisons {
    pub(super) fn new(all_every: Duration, now: Instant) -> Self {
        let (due, audits, all_at) = (VecDeque::new(), VecDeque::new(), now + all_every);
        Self { due, is_under_way: false, audits, all_every, all_at }
    }

    /// Has a stream that spoke just now audited once it was quiet for long enough.
    pub(super) fn audit(&mut self, stream: StreamId, now: Instant) {
        self.audits.push_back((now + QUIET, stream));
    }

    /// Returns whether every stream is to be compared, which begins the time to the next such comparison.
    fn all_are_due(&mut self, now: Instant) -> bool {
        let are_due = now >= self.all_at;
        if are_due {
            self.all_at = now + self.all_every;
        }
        are_due
    }

    fn next_audit(&mut self, now: Instant) -> Option<StreamId> {
        let is_due = self.audits.front().is_some_and(|(due, _)| *due <= now);
        if is_due { self.audits.pop_front().map(|(_, stream)| stream) } else { None }
    }

    /// The streams of the next call, if one is due.
    fn begin(&mut self) -> Option<Vec<StreamId>> {
        let is_due = !self.is_under_way && !self.due.is_empty();
        self.is_under_way |= is_due;
        is_due.then(|| self.due.drain(..self.due.len().min(HEADS)).collect())
    }
}

impl Keeper {
    /// Doubts the streams that were quiet for long enough, and all of them now and then.
    pub(super) fn audit(&mut self, now: Instant) {
        while let Some(stream) = self.comparisons.next_audit(now) {
            let Some(state) = self.streams.get_mut(&stream) else { continue };
            let quiet_at = state.spoke.map_or(now, |spoke| spoke + QUIET);
            if quiet_at > now {
                self.comparisons.audits.push_back((quiet_at, stream));
            } else {
                state.is_audited = false;
                self.doubt([stream]);
            }
        }
        if self.comparisons.all_are_due(now) {
            let mut all: Vec<_> = self.streams.names().cloned().collect();
            all.sort_unstable();
            self.doubt(all);
            self.census.renew();
        }
    }

    /// Notes streams whose head is to be compared with the shard's.
    pub(super) fn doubt(&mut self, streams: impl IntoIterator<Item = StreamId>) {
        for stream in streams {
            if let Some(state) = self.streams.get_mut(&stream)
                && !std::mem::replace(&mut state.is_doubted, true)
            {
                self.comparisons.due.push_back(stream);
            }
        }
    }

    /// Begins to compare some of the doubted streams, unless some are being compared.
    pub(super) fn compare(&mut self) {
        let Some(streams) = self.comparisons.begin() else { return };
        for stream in &streams {
            if let Some(state) = self.streams.get_mut(stream) {
                state.is_doubted = false;
            }
        }
        self.commands.push_back(Command::Call(ShardCall::Heads(streams)));
    }

    pub(super) fn compared(
        &mut self,
        streams: Vec<StreamId>,
        heads: Result<Vec<Option<Position>>, Unavailable>,
        moment: &Moment<'_>,
    ) {
        self.comparisons.is_under_way = false;
        let Ok(heads) = heads else {
            self.reads.on_failure(moment.now, moment.random);
            self.doubt(streams);
            return;
        };
        for (stream, head) in streams.into_iter().zip(heads) {
            let Some(state) = self.streams.get_mut(&stream) else { continue };
            if head != state.chain.head()
                && let Some(span) = state.chain.check()
            {
                self.reads.ask(stream, state.generation, span);
            }
        }
    }
}
