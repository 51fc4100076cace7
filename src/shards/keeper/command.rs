//! What a keeper is given, and what it asks for.

use tokio::time::Instant;

use super::reads::Read;
use crate::{
    domain::{Position, StreamId},
    hub::Item,
    shards::{
        audience::sync::Call,
        backend::{
            outage::Notice,
            types::{ConnectionId, Counted, HistorySlice, Unavailable},
        },
    },
};

/// What a keeper cannot know by itself at the time of an input.
#[derive(Clone, Copy)]
pub(in crate::shards) struct Moment<'a> {
    pub(in crate::shards) now: Instant,
    /// A random number from 0 to 1.
    pub(in crate::shards) random: f64,
    /// Returns how many watch a stream on this pod.
    pub(in crate::shards) viewers_here: &'a dyn Fn(&StreamId) -> u64,
}

/// One thing to do for a keeper. Commands are executed in their order, and before the keeper's next input.
#[derive(Debug)]
pub(in crate::shards) enum Command {
    /// Make a call to the shard. [`Keeper::completed`](super::Keeper::completed) takes its completion.
    Call(ShardCall),
    /// Open a stream in the hub.
    Open { stream: StreamId, floor: Position, items: Vec<Item> },
    /// Put items on a stream's tape.
    Deliver { stream: StreamId, items: Vec<Item> },
    /// Forget a stream that nobody watches. [`Keeper::retired`](super::Keeper::retired) takes the outcome, at once.
    Retire(StreamId),
    /// Tell a stream's viewers how many they are on all pods.
    TellViewers { stream: StreamId, viewers: u64 },
    /// Tell the hub how many watch a stream on other pods.
    NoteElsewhere { stream: StreamId, viewers: u64 },
    /// Measure how long an entry took from its shard, which wrote it at this time of its own.
    MeasureCarriage { at_ms: u64 },
    /// Log a line about the shard's outage.
    LogOutage(Notice),
}

/// A call to the shard that takes its time.
#[derive(Debug, Clone)]
pub(in crate::shards) enum ShardCall {
    Subscribe(Vec<StreamId>),
    Unsubscribe(Vec<StreamId>),
    /// Read a part of a history.
    Read(Read),
    /// Say where the order of each stream stands.
    Heads(Vec<StreamId>),
    /// Count the viewers of this pod.
    Count(Call),
}

/// A call that was answered, or failed.
#[derive(Debug)]
pub(in crate::shards) enum Completion {
    Subscribed(Vec<StreamId>, Result<ConnectionId, Unavailable>),
    Unsubscribed(Vec<StreamId>, Result<(), Unavailable>),
    Read(Read, Result<HistorySlice, Unavailable>),
    Heads(Vec<StreamId>, Result<Vec<Option<Position>>, Unavailable>),
    Counted(Call, Result<Counted, Unavailable>),
}
