//! Reads of whole histories, shared: a storm of viewers who resume costs one read a stream, not one a viewer.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    domain::StreamId,
    shards::backend::{
        Shard,
        types::{HistorySlice, SliceRange, Unavailable},
    },
};

/// How long a read serves those who come later. What it does not show, the tape does.
const FRESH: Duration = Duration::from_secs(1);

type SharedRead = Shared<BoxFuture<'static, Result<Arc<HistorySlice>, Unavailable>>>;

/// Reads of histories under way, and those of the last second.
#[derive(Default)]
pub(in crate::shards) struct SharedReads {
    /// Guards the reads; held for a look. Bounded by the streams that were asked for within a second.
    reads: Mutex<HashMap<StreamId, (Instant, SharedRead)>>,
}

impl SharedReads {
    /// The whole history as it was at some moment after `since`, or in the last second before.
    pub(in crate::shards) async fn get(
        &self,
        shard: &Shard,
        stream: &StreamId,
        since: Option<Instant>,
    ) -> Result<Arc<HistorySlice>, Unavailable> {
        let now = Instant::now();
        let read = {
            let mut reads = self.reads.lock();
            let serves = |begun: Instant| since.is_none_or(|since| begun >= since) && now - begun < FRESH;
            match reads.get(stream) {
                Some((begun, read)) if serves(*begun) && !matches!(read.peek(), Some(Err(_))) => read.clone(),
                _ => {
                    reads.retain(|_, (begun, _)| now - *begun < FRESH);
                    let (shard, id) = (shard.clone(), stream.clone());
                    let read = async move { shard.read(&id, SliceRange::WHOLE).await.map(Arc::new) }
                        .boxed()
                        .shared();
                    reads.insert(stream.clone(), (now, read.clone()));
                    read
                }
            }
        };
        read.await
    }
}
