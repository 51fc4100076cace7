//! The two kinds of shard, behind one interface.

pub(in crate::shards) mod cardinality;
pub(in crate::shards) mod clock;
pub(in crate::shards) mod condition;
pub(in crate::shards) mod memory;
pub(in crate::shards) mod outage;
pub(in crate::shards) mod pause;
pub(in crate::shards) mod redis;
pub(in crate::shards) mod types;

use std::time::Duration;

use self::{
    clock::Clock,
    memory::Embedded,
    redis::{Link, LinkHealth},
    types::{
        Audience, AudienceCount, ConnectionId, Counted, Health, HistorySlice, KindCounts, Post, Revocation,
        SliceRange, Unavailable,
    },
};
use crate::domain::{Accepted, Epoch, Position, PublishError, StreamId};

/// A shard. Every operation answers within about a second, or says [`Unavailable`].
#[derive(Clone)]
pub(in crate::shards) enum Shard {
    /// In this process's memory.
    Embedded(Embedded),
    /// A Redis.
    Redis(Link),
}

impl Shard {
    /// Gives a comment its place, in one atomic step.
    pub(in crate::shards) async fn publish(
        &self,
        stream: &StreamId,
        post: Post,
    ) -> Result<Accepted, PublishError> {
        match self {
            Self::Embedded(embedded) => embedded.publish(stream, post),
            Self::Redis(link) => link.publish(stream, post).await,
        }
    }

    /// Gives comments their places in this order, up to the first that fails. Returns an answer for each.
    pub(in crate::shards) async fn publish_all(
        &self,
        stream: &StreamId,
        posts: Vec<Post>,
    ) -> Vec<Result<Accepted, PublishError>> {
        match self {
            Self::Embedded(embedded) => {
                posts.into_iter().map(|post| embedded.publish(stream, post)).collect()
            }
            Self::Redis(link) => link.publish_all(stream, &posts).await,
        }
    }

    /// Reads a part of the history; a stream without one gets an epoch, so that its loss can be noticed.
    pub(in crate::shards) async fn read(
        &self,
        stream: &StreamId,
        span: SliceRange,
    ) -> Result<HistorySlice, Unavailable> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.read(stream, span)),
            Self::Redis(link) => link.read(stream, span, Epoch::random()).await,
        }
    }

    /// Where the order of each stream stands; none for a stream without a history.
    pub(in crate::shards) async fn heads(
        &self,
        streams: &[StreamId],
    ) -> Result<Vec<Option<Position>>, Unavailable> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.heads(streams)),
            Self::Redis(link) => link.heads(streams).await,
        }
    }

    /// How many comments the stream's history took; none for a stream without a history.
    pub(in crate::shards) async fn tally(
        &self,
        stream: &StreamId,
    ) -> Result<Option<KindCounts>, Unavailable> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.tally(stream)),
            Self::Redis(link) => link.tally(stream).await,
        }
    }

    /// Keeps a revocation of a user's tokens, for as long as tokens live.
    pub(in crate::shards) async fn revoke(&self, user: &str, keep: Duration) -> Result<(), Unavailable> {
        match self {
            Self::Embedded(embedded) => {
                embedded.revoke(user, keep);
                Ok(())
            }
            Self::Redis(link) => link.revoke(user, keep).await,
        }
    }

    /// The next revocations after a place; none if these are all.
    pub(in crate::shards) async fn revocations(&self, after: &str) -> Result<Vec<Revocation>, Unavailable> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.revocations(after)),
            Self::Redis(link) => link.revocations(after).await,
        }
    }

    /// Tells who watches on this pod; answers who does elsewhere. `keeps` renews what is remembered of the streams.
    pub(in crate::shards) async fn count(
        &self,
        counts: &[AudienceCount],
        keeps: bool,
    ) -> Result<Counted, Unavailable> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.count(counts)),
            Self::Redis(link) => link.count(counts, keeps).await,
        }
    }

    /// Takes this pod out of those that count viewers. Returns whether counts of pods that are gone are left.
    pub(in crate::shards) async fn uncount(&self) -> Result<bool, Unavailable> {
        match self {
            // It goes away with the pod.
            Self::Embedded(_) => Ok(false),
            Self::Redis(link) => link.uncount().await,
        }
    }

    /// Who watches and watched a stream, this pod's viewers not among those who watch.
    pub(in crate::shards) async fn audience(&self, stream: &StreamId) -> Result<Audience, Unavailable> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.audience(stream)),
            Self::Redis(link) => link.audience(stream).await,
        }
    }

    /// Subscribes to streams; the answer names the connection on which all of them are now in force.
    pub(in crate::shards) async fn subscribe(
        &self,
        streams: &[StreamId],
    ) -> Result<ConnectionId, Unavailable> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.subscribe(streams)),
            Self::Redis(link) => link.subscribe(streams).await,
        }
    }

    /// Ends subscriptions.
    pub(in crate::shards) async fn unsubscribe(&self, streams: &[StreamId]) -> Result<(), Unavailable> {
        match self {
            Self::Embedded(embedded) => {
                embedded.unsubscribe(streams);
                Ok(())
            }
            Self::Redis(link) => link.unsubscribe(streams).await,
        }
    }

    /// A time of the shard in this pod's time, both in milliseconds since the Unix epoch; `None` until the shard's clock is
    /// known.
    pub(in crate::shards) fn in_pod_time(&self, shard_ms: u64) -> Option<u64> {
        match self {
            Self::Embedded(_) => Some(shard_ms),
            Self::Redis(link) => link.clock().of_pod(shard_ms),
        }
    }

    /// Its clock; the embedded one has this pod's.
    pub(in crate::shards) fn clock(&self) -> Clock {
        match self {
            Self::Embedded(_) => Clock::default(),
            Self::Redis(link) => link.clock(),
        }
    }

    /// Its host and port, for the log.
    pub(in crate::shards) fn address(&self) -> String {
        match self {
            Self::Embedded(_) => "embedded".to_owned(),
            Self::Redis(link) => link.address(),
        }
    }

    /// The reason for which it is down, as of the last error or look.
    pub(in crate::shards) fn last_error(&self) -> String {
        match self {
            Self::Embedded(_) => String::new(),
            Self::Redis(link) => link.last_error(),
        }
    }

    /// Whether it answers, and how fast.
    pub(in crate::shards) fn health(&self) -> Health {
        match self {
            Self::Embedded(_) => Health { up: true, ..Health::default() },
            Self::Redis(link) => {
                let LinkHealth { up, probe, clients, conditions, .. } = link.health();
                Health { up, probe, clients, conditions }
            }
        }
    }
}
