//! Comparing what a keeper knows of streams with what their shard knows: what was lost in silence is found so.

use tokio::time::Instant;

use super::{
    Keeper,
    command::{Command, Moment, ShardCall},
    comparisons::QUIET,
};
use crate::{
    domain::{Position, StreamId},
    shards::backend::types::Unavailable,
};

impl Keeper {
    /// Doubts the streams that were quiet for long enough, and all of them now and then.
    pub(super) fn audit(&mut self, now: Instant) {
        while let Some(stream) = self.comparisons.next_audit(now) {
            let Some(state) = self.streams.get_mut(&stream) else { continue };
            match state.spoke {
                Some(spoke) if spoke + QUIET > now => self.comparisons.audit(stream, spoke),
                _ => {
                    state.is_audited = false;
                    self.doubt([stream]);
                }
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
                self.comparisons.push(stream);
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
        self.comparisons.end();
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
