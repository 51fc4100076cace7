//! Comparing what a keeper knows of streams with what their shard knows: what was lost in silence is found so.

use super::{Done, Keeper};
use crate::{
    domain::{Position, StreamId},
    shards::shard::Unavailable,
};
use tokio::time::Instant;

/// The most streams whose heads are asked for at once.
const HEADS: usize = 500;

impl Keeper {
    pub(super) fn compared(
        &mut self,
        streams: Vec<StreamId>,
        heads: Result<Vec<Option<Position>>, Unavailable>,
    ) {
        self.comparing = false;
        let Ok(heads) = heads else {
            self.reads.on_failure(Instant::now(), rand::random());
            self.doubt(streams);
            return;
        };
        for (stream, head) in streams.into_iter().zip(heads) {
            let Some(kept) = self.streams.get_mut(&stream) else { continue };
            if head != kept.chain.head()
                && let Some(span) = kept.chain.check()
            {
                self.reads.ask(stream, kept.life, span);
            }
        }
    }

    /// Notes streams whose head is to be compared with the shard's.
    pub(super) fn doubt(&mut self, streams: impl IntoIterator<Item = StreamId>) {
        for stream in streams {
            if let Some(kept) = self.streams.get_mut(&stream)
                && !std::mem::replace(&mut kept.doubted, true)
            {
                self.to_compare.push_back(stream);
            }
        }
    }

    pub(super) fn compare(&mut self) {
        self.comparing = true;
        let some = self.to_compare.len().min(HEADS);
        let streams: Vec<_> = self.to_compare.drain(..some).collect();
        for stream in &streams {
            self.streams.entry(stream.clone()).and_modify(|kept| kept.doubted = false);
        }
        let shard = self.shard.clone();
        self.under_way.push(Box::pin(async move {
            let heads = shard.heads(&streams).await;
            Done::Compared(streams, heads)
        }));
    }
}
