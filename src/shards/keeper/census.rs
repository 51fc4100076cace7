//! Counting viewers over all pods: the shard is told who watches here, and viewers how many they are in all.

use std::sync::atomic::Ordering::Relaxed;

use tokio::time::Instant;

use super::{
    Keeper,
    command::{Command, Moment, ShardCall},
};
use crate::{
    domain::StreamId,
    shards::{
        audience::sync::Call,
        backend::types::{Counted, Unavailable},
    },
};

impl Keeper {
    /// Tells viewers how many they are, where that changed, and begins to tell the shard.
    pub(super) fn census_round(&mut self, moment: &Moment<'_>) {
        let mut changed = Vec::new();
        for (stream, state) in self.streams.iter_mut() {
            let viewers = (moment.viewers_here)(stream).saturating_add(state.elsewhere.unwrap_or(0));
            if std::mem::replace(&mut state.told_viewers, viewers) != viewers {
                changed.push((stream.clone(), viewers));
            }
        }
        changed.sort_unstable();
        let tell = |(stream, viewers)| Command::TellViewers { stream, viewers };
        self.commands.extend(changed.into_iter().map(tell));
        self.census.round(self.streams.names(), moment.viewers_here, moment.now);
        self.stats.counts.store(self.census.counts(), Relaxed);
    }

    /// Makes the next call of the census, if it is due.
    pub(super) fn count(&mut self, moment: &Moment<'_>) {
        let call = self.census.next_call(moment.viewers_here, moment.now);
        self.commands.extend(call.map(ShardCall::Count).map(Command::Call));
    }

    /// Streams that are about to be opened are counted first, on the same connection: a viewer that waits for one is
    /// greeted with how many watch it on other pods.
    pub(super) fn count_before_opening(&mut self, granted: &[StreamId], moment: &Moment<'_>) {
        let opens =
            |stream: &&StreamId| self.streams.get(stream).is_none_or(|state| state.chain.head().is_none());
        let opening: Vec<_> = granted.iter().filter(opens).cloned().collect();
        self.count_out_of_turn(&opening, moment);
    }

    /// Tells the shard who watches these streams, and so has it tell how many watch them on other pods.
    pub(super) fn count_out_of_turn(&mut self, streams: &[StreamId], moment: &Moment<'_>) {
        let calls = self.census.extra_calls(streams, moment.viewers_here);
        self.commands.extend(calls.into_iter().map(ShardCall::Count).map(Command::Call));
    }

    pub(super) fn counted(&mut self, call: Call, answer: Result<Counted, Unavailable>, now: Instant) {
        for (stream, viewers) in self.census.answered(call, answer, now) {
            // What comes as a message is newer than any answer that may come after it.
            if let Some(state) = self.streams.get_mut(&stream)
                && state.elsewhere.is_none()
            {
                state.elsewhere = Some(viewers);
                self.commands.push_back(Command::NoteElsewhere { stream, viewers });
            }
        }
        let waited = self.census.waited();
        self.elsewhere(waited);
        self.stats.counts.store(self.census.counts(), Relaxed);
    }

    /// The shard tells how many watch streams on other pods.
    pub(super) fn elsewhere(&mut self, told: Vec<(StreamId, u64)>) {
        for (stream, viewers) in told {
            let Some(state) = self.streams.get_mut(&stream) else { continue };
            if self.census.believes(&stream, viewers, state.elsewhere.unwrap_or(0)) {
                state.elsewhere = Some(viewers);
                self.commands.push_back(Command::NoteElsewhere { stream, viewers });
            }
        }
    }
}
