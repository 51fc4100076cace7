//! The parts of a simulated world that its files share.

use std::{collections::BTreeSet, time::Duration};

use super::plan::HISTORY_MS;
use crate::{
    domain::{Position, StreamId},
    shards::{
        backend::types::{ConnectionId, Counted, HistorySlice},
        keeper::ShardCall,
    },
};

/// The last comment of each stream is posted no sooner, in milliseconds.
pub(super) const LAST_POST_MS: u64 = HISTORY_MS + 2_000;
/// The text of each stream's last comment.
pub(super) const LAST_BODY: &str = "last";

/// How the history ends.
#[derive(Default)]
pub(super) struct HistoryEnd {
    pub(super) is_healed: bool,
    pub(super) is_last_posted: bool,
    pub(super) cuts_last: bool,
    pub(super) everybody_left_at: Option<u64>,
}

/// The way from a shard to a pod.
#[derive(Default)]
pub(super) struct SimulatedLink {
    /// The number of the newest connection.
    pub(super) id: u64,
    pub(super) is_up: bool,
    /// What the shard holds for the connection.
    pub(super) subscribed: BTreeSet<StreamId>,
    /// What comes on a connection up to this number is lost.
    pub(super) dropped: u64,
    /// The time of the last arrival at the pod, and at the shard: what follows does not overtake.
    pub(super) arrives_ms: u64,
    pub(super) commands_ms: u64,
    /// Messages are garbled before this time.
    pub(super) garbled_until: u64,
    /// Calls are lost before this time.
    pub(super) loses_until: u64,
    /// Nobody connects before this time.
    pub(super) cut_until: u64,
}

/// A call that has no answer yet.
pub(super) struct OpenCall {
    pub(super) pod: usize,
    pub(super) shard: usize,
    pub(super) call: ShardCall,
    /// Whether the call is executed and its answer lost.
    pub(super) loses_answer: bool,
}

/// What a shard answers.
pub(super) enum CallAnswer {
    Subscribed(ConnectionId),
    Unsubscribed,
    HistorySlice(HistorySlice),
    Heads(Vec<Option<Position>>),
    Counted(Counted),
    Unavailable,
}

/// One attempt to post a comment.
#[derive(Debug, Clone)]
pub struct SimulatedPost {
    /// The stream.
    pub stream: String,
    /// The text, which is its idempotency id.
    pub body: String,
    /// When it was sent.
    pub sent: Duration,
    /// When it was answered, or given up.
    pub answered: Duration,
    /// Id, number, and whether it was there before; none if nobody knows.
    pub acked: Option<(String, u64, bool)>,
}

/// An attempt that is under way.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) number: u64,
    pub(super) stream: usize,
    pub(super) pod: usize,
    pub(super) body: String,
}
