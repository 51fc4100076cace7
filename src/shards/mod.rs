//! Where streams live: the shards, which of them owns a stream, and what this pod asks of each.

mod link;
mod shard;
