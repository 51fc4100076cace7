//! What a shard and the rest of the room say to each other.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;

use super::condition::Conditions;
use crate::{
    domain::{EntryId, Epoch, IdempotencyKey, Kind, Position, Publication, StreamId, Timeline},
    protocol::{Entry, Fragment},
    telemetry::Traceparent,
};

/// A comment on its way to its shard.
#[derive(Debug, Clone)]
pub(in crate::shards) struct Post {
    /// The epoch of the list of shards that this pod knows.
    pub(in crate::shards) ring_epoch: u64,
    /// The epoch that the history gets if it has none.
    pub(in crate::shards) candidate_epoch: Epoch,
    /// The server's random name for the comment.
    pub(in crate::shards) id: EntryId,
    /// What sort of comment it is.
    pub(in crate::shards) kind: Kind,
    /// When this pod accepted it, in milliseconds since the Unix epoch.
    pub(in crate::shards) accepted_at_ms: u64,
    /// The post's span, if it is traced.
    pub(in crate::shards) trace: Option<Traceparent>,
    /// The comment.
    pub(in crate::shards) fragment: Fragment,
    /// Makes a repeated post harmless.
    pub(in crate::shards) key: Option<IdempotencyKey>,
}

impl Post {
    /// The post of a comment that this pod accepted at a time of the shard's clock, in milliseconds since the Unix epoch.
    pub(in crate::shards) fn of(publication: Publication, ring_epoch: u64, accepted_at_ms: u64) -> Self {
        let Publication { comment, key, trace } = publication;
        Self {
            ring_epoch,
            candidate_epoch: Epoch::random(),
            id: comment.id,
            kind: comment.kind,
            accepted_at_ms,
            trace,
            fragment: Fragment::of(&comment),
            key,
        }
    }
}

/// A part of a stream's history and where its order stands, read in one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shards) struct HistorySlice {
    /// The place after the newest entry of the stream.
    pub(in crate::shards) head: Position,
    /// The timelines that led to `head`'s, the newest last, at most [`MOST_FORMER`].
    pub(in crate::shards) former: Vec<FormerTimeline>,
    /// Entries in ascending order without holes, of `head`'s epoch; the last one is at `head`.
    pub(in crate::shards) entries: Vec<Entry>,
}

/// A timeline that the present one goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shards) struct FormerTimeline {
    /// Its name; none for the first one of the epoch.
    pub(in crate::shards) timeline: Option<Timeline>,
    /// The number of its last entry that is in this history. What it had beyond was lost.
    pub(in crate::shards) end: u64,
}

/// How many former timelines a shard remembers; whoever comes with a trimmed place of an older one is told `reset`.
pub(in crate::shards) const MOST_FORMER: usize = 8;

/// Which part of a history to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shards) struct SliceRange {
    /// Only entries with a greater number than this.
    pub(in crate::shards) after_seq: u64,
    /// Of these, only so many of the newest.
    pub(in crate::shards) newest: usize,
}

impl SliceRange {
    /// Everything that the history holds.
    pub(in crate::shards) const WHOLE: Self = Self { after_seq: 0, newest: usize::MAX };
}

/// How many comments a stream's history took, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct KindCounts {
    /// Comments by viewers or services.
    pub comment: u64,
    /// Gifts.
    pub gift: u64,
    /// Follows.
    pub follow: u64,
    /// Missions.
    pub mission: u64,
}

impl KindCounts {
    pub(in crate::shards) fn count(&mut self, kind: Kind) {
        let of_kind = match kind {
            Kind::Comment => &mut self.comment,
            Kind::Gift => &mut self.gift,
            Kind::Follow => &mut self.follow,
            Kind::Mission => &mut self.mission,
        };
        *of_kind += 1;
    }

    /// All together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.comment + self.gift + self.follow + self.mission
    }
}

/// Who watches a stream on this pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shards) struct AudienceCount {
    /// The stream.
    pub(in crate::shards) stream: StreamId,
    /// How many watch it here.
    pub(in crate::shards) viewers: u64,
    /// Hashes of the users who came since the last count.
    pub(in crate::shards) users: Vec<u64>,
}

/// What a shard says to counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shards) enum Counted {
    /// They count.
    Taken {
        /// Whether the shard knows nothing else of this pod, which then tells everything again.
        is_new: bool,
        /// Whether pods that are gone have counts there still: the next call takes some of them out.
        is_more: bool,
        /// How many watch each of the streams on other pods.
        elsewhere: Vec<u64>,
    },
    /// They have to be told again, at once: what this pod had in an earlier life is being taken out.
    Later,
}

/// Who watches and watched a stream, over all pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Audience {
    /// How many watch it on other pods.
    pub elsewhere: u64,
    /// How many watched it at once, when it was the most.
    pub peak: u64,
    /// About how many users watched it.
    pub users: u64,
}

/// The pods of a track as the shard lists them: name, and when it was seen last, in milliseconds of the shard's time.
pub(in crate::shards) type Seen = HashMap<String, u64>;

/// A shard did not answer in time, or answered with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the shard did not answer")]
pub struct Unavailable;

/// One life of the subscribing connection to a shard; a grant holds for the connection it was given on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::shards) struct ConnectionId(pub(in crate::shards) u64);

/// What a shard tells its keeper, in order.
#[derive(Debug)]
pub(in crate::shards) enum Event {
    /// The subscribing connection is new: it holds no subscription yet.
    Connected(ConnectionId),
    /// The subscribing connection is gone, and its subscriptions with it.
    Disconnected,
    /// A payload came on a stream's channel.
    Message {
        /// The stream.
        stream: StreamId,
        /// The envelope, unopened.
        payload: Bytes,
    },
    /// So many watch these streams on other pods.
    Elsewhere(Vec<(StreamId, u64)>),
    /// A probe came back through the shard, after so long.
    Probed(Duration),
    /// Messages were lost on their way from the connection to the keeper: any stream may have a hole.
    Overrun,
}

/// Whether a shard answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::shards) struct Health {
    pub(in crate::shards) up: bool,
    /// How long a message took through the shard and back.
    pub(in crate::shards) probe: Option<Duration>,
    /// Connections of all clients, and how many it takes; none if it does not say.
    pub(in crate::shards) clients: Option<(u64, u64)>,
    /// The conditions of its server.
    pub(in crate::shards) conditions: Conditions,
}

/// What a shard tells its keeper, and whether more was lost than could wait.
pub(in crate::shards) struct Events {
    queue: mpsc::Receiver<Event>,
    overrun: Arc<AtomicBool>,
}

impl Events {
    /// Events from a queue; `overrun` is set where one did not fit.
    pub(in crate::shards) const fn new(queue: mpsc::Receiver<Event>, overrun: Arc<AtomicBool>) -> Self {
        Self { queue, overrun }
    }

    /// Returns an event that came already.
    #[cfg(feature = "simulation")]
    pub(in crate::shards) fn try_next(&mut self) -> Option<Event> {
        self.queue.try_recv().ok()
    }

    /// Waits for events and takes up to `most`; returns how many. None come only if the shard is gone.
    pub(in crate::shards) async fn some(&mut self, into: &mut Vec<Event>, most: usize) -> usize {
        if self.queue.is_empty() && self.overrun.swap(false, Ordering::AcqRel) {
            into.push(Event::Overrun);
            return 1;
        }
        self.queue.recv_many(into, most).await
    }
}

/// The most revocations in one answer.
pub(in crate::shards) const MOST_REVOCATIONS: usize = 500;

/// A revocation, as a shard keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shards) struct Revocation {
    /// Its place among the shard's revocations: `<milliseconds since the Unix epoch>-<number>`.
    pub(in crate::shards) id: String,
    /// The user.
    pub(in crate::shards) user: String,
}

impl Revocation {
    /// When it was made by the shard's clock, in milliseconds since the Unix epoch.
    pub(in crate::shards) fn at_ms(&self) -> Option<u64> {
        self.id.split('-').next()?.parse().ok()
    }
}
