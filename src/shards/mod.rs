//! Where a stream's order is made: shards, what this pod wants to hear of them, and what it does with what it hears.
//!
//! The [`Shards`] handle publishes and reads. One keeper task a shard subscribes to the streams that are watched, checks
//! that each entry follows its predecessor, mends what does not from history, and delivers to the hub.

mod backoff;
mod chain;
mod embedded;
mod history;
mod interest;
mod keeper;
mod nudges;
mod shard;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use serde::Serialize;

pub use history::{HistoryPage, Past};
pub use nudges::Nudges;
pub use shard::{Tally, Unavailable};

use crate::{
    domain::{Accepted, Comment, Epoch, Key, Position, Publish, PublishError, StreamId},
    hub::Hub,
    protocol::Fragment,
    shutdown::Tasks,
    telemetry::Sli,
};
use embedded::{Embedded, Keep};
use keeper::{Keeper, Report};
use shard::{Post, Shard, Span, Window};

/// How the shards are used.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most comments that a stream's history holds.
    pub history_comments: usize,
    /// How long a history is kept after the last post or read.
    pub history_ttl: Duration,
    /// How long a subscription outlives the stream's last viewer.
    pub linger: Duration,
}

/// The shards, for posting and reading. Cloning shares them.
#[derive(Clone)]
pub struct Shards(Arc<Inner>);

struct Inner {
    name: String,
    shard: Shard,
    report: Arc<Report>,
}

/// The state of one shard as this pod sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardStatus {
    /// The shard's name.
    pub name: String,
    /// Whether the pod hears it.
    pub up: bool,
    /// Streams whose messages come.
    pub subscriptions: u64,
    /// Subscriptions and their ends that were asked for.
    pub subscribe_churn: u64,
    /// Viewers who came back before the linger was over.
    pub linger_hits: u64,
}

impl Shards {
    /// Starts the embedded shard and its keeper.
    #[must_use]
    pub fn embedded(settings: &Settings, hub: &Hub, nudges: &Nudges, tasks: &Tasks, sli: &Sli) -> Self {
        let keep = Keep { comments: settings.history_comments, ttl: settings.history_ttl };
        let (embedded, events) = Embedded::new(keep);
        let shard = Shard::Embedded(embedded);
        let report = Arc::new(Report::default());
        let keeper =
            Keeper::new(shard.clone(), hub.clone(), settings.linger, Arc::clone(&report), sli.clone());
        tasks.core("keeper of the embedded shard", keeper.run(events, nudges.clone()));
        Self(Arc::new(Inner { name: "embedded".to_owned(), shard, report }))
    }

    /// What follows a position in the stream's history.
    ///
    /// # Errors
    /// [`Unavailable`] if the shard does not answer.
    pub async fn past(&self, stream: &StreamId, after: &Position) -> Result<Past, Unavailable> {
        Ok(self.window(stream).await?.past(after))
    }

    /// A page of history of at most `limit` comments and 32 KiB: the newest, or those after a position.
    ///
    /// # Errors
    /// [`Unavailable`] if the shard does not answer.
    pub async fn page(
        &self,
        stream: &StreamId,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<HistoryPage, Unavailable> {
        Ok(self.window(stream).await?.page(after, limit))
    }

    async fn window(&self, stream: &StreamId) -> Result<Window, Unavailable> {
        self.0.shard.read(stream, Span::WHOLE).await
    }

    /// How many comments the stream's history took; zeroes for a stream without one.
    ///
    /// # Errors
    /// [`Unavailable`] if the shard does not answer.
    pub async fn tally(&self, stream: &StreamId) -> Result<Tally, Unavailable> {
        Ok(self.0.shard.tally(stream).await?.unwrap_or_default())
    }

    /// The name of the shard that owns the stream.
    #[must_use]
    pub fn owner(&self, _stream: &StreamId) -> &str {
        &self.0.name
    }

    /// The state of every shard.
    #[must_use]
    pub fn status(&self) -> Vec<ShardStatus> {
        vec![self.0.report.status(&self.0.name)]
    }
}

impl Publish for Shards {
    async fn publish(
        &self,
        stream: &StreamId,
        comment: Comment,
        key: Option<Key>,
    ) -> Result<Accepted, PublishError> {
        let post = Post {
            ring_epoch: 1,
            candidate_epoch: Epoch::random(),
            id: comment.id,
            kind: comment.kind,
            accepted_at_ms: comment.accepted_at_ms,
            fragment: Fragment::of(&comment),
            key,
        };
        self.0.shard.publish(stream, post).await
    }
}
