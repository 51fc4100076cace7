//! Which shard owns a stream.

pub(in crate::shards) mod address;
pub(in crate::shards) mod nudges;
pub(in crate::shards) mod ring;
