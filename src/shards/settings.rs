//! The settings of the shards.

use std::time::Duration;

use crate::shards::routing::address::ShardAddress;

/// The settings of the shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardSettings {
    /// The shards; none for the embedded one.
    pub list: Vec<ShardAddress>,
    /// Counts the changes of the list: shards refuse posts of pods that know an older one than they have seen.
    pub ring_epoch: u64,
    /// This pod's name.
    pub pod: String,
    /// The most comments that a stream's history holds.
    pub history_comments: usize,
    /// How long a history is kept after the last post or read.
    pub history_ttl: Duration,
    /// How long a subscription outlives the stream's last viewer.
    pub linger: Duration,
}
