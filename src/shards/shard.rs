//! What a shard is to the rest of the room: the embedded one and Redis are the two kinds.

use crate::{
    domain::{Accepted, EntryId, Epoch, Key, Kind, Position, PublishError, StreamId},
    protocol::{Entry, Fragment},
};

/// A comment on its way to its shard.
#[derive(Debug, Clone)]
pub(super) struct Post {
    /// The epoch of the list of shards that this pod knows; an older one than the shard has seen is refused.
    pub(super) ring_epoch: u64,
    /// The epoch that the history gets if it has none.
    pub(super) candidate_epoch: Epoch,
    /// The server's random name for the comment.
    pub(super) id: EntryId,
    /// What sort of comment it is.
    pub(super) kind: Kind,
    /// When this pod accepted it, in milliseconds since the Unix epoch.
    pub(super) accepted_at_ms: u64,
    /// The comment.
    pub(super) fragment: Fragment,
    /// Makes a repeated post harmless.
    pub(super) key: Option<Key>,
}

/// A part of a stream's history and where its order stands, read in one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// The place after the newest entry of the stream.
    pub(super) head: Position,
    /// Entries in ascending order without holes, of `head`'s epoch; the last one is at `head`.
    pub(super) entries: Vec<Entry>,
}

/// Which part of a history to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Only entries with a greater number than this.
    pub(super) after_seq: u64,
    /// Of these, only so many of the newest.
    pub(super) newest: usize,
}

/// How many comments a stream's history took, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Comments by viewers or services.
    pub comment: u64,
    /// Gifts.
    pub gift: u64,
    /// Follows.
    pub follow: u64,
    /// Missions.
    pub mission: u64,
}

/// A shard did not answer in time, or answered with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the shard did not answer")]
pub(super) struct Unavailable;

/// One life of the subscribing connection to a shard; a grant holds for the connection it was given on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ConnectionId(pub(super) u64);

/// What a shard tells its keeper, in order.
#[derive(Debug)]
pub(super) enum Event {
    /// The subscribing connection is new: it holds no subscription yet.
    Connected(ConnectionId),
    /// The subscribing connection is gone.
    Disconnected,
    /// A payload came on a stream's channel.
    Message {
        /// The stream.
        stream: StreamId,
        /// The envelope, unopened.
        payload: bytes::Bytes,
    },
    /// Messages were lost on their way from the connection to the keeper: any stream may have a hole.
    Overrun,
}

/// The operations of a shard. Each answers within about a second, or says [`Unavailable`].
pub(super) trait Shard: Send + Sync + 'static {
    /// Gives a comment its place, in one atomic step.
    async fn publish(&self, stream: &StreamId, post: Post) -> Result<Accepted, PublishError>;

    /// Reads a part of the history; a stream without one gets `candidate` as its epoch.
    async fn read(&self, stream: &StreamId, span: Span, candidate: Epoch) -> Result<Window, Unavailable>;

    /// Where the order of each stream stands; none for a stream without a history.
    async fn heads(&self, streams: &[StreamId]) -> Result<Vec<Option<Position>>, Unavailable>;

    /// How many comments the stream's history took.
    async fn tally(&self, stream: &StreamId) -> Result<Tally, Unavailable>;

    /// Subscribes to streams; the answer names the connection on which all of them are now in force.
    async fn subscribe(&self, streams: &[StreamId]) -> Result<ConnectionId, Unavailable>;

    /// Ends subscriptions.
    async fn unsubscribe(&self, streams: &[StreamId]) -> Result<(), Unavailable>;
}
