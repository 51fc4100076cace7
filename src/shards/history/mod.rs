//! Histories of streams, as people and viewers who resume read them.

pub(in crate::shards) mod pages;
pub(in crate::shards) mod shared_reads;
