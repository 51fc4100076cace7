//! Who watches, over all pods: the counts and users that a shard is told.

pub(in crate::shards) mod pending_users;
pub(in crate::shards) mod sync;
