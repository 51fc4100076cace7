//! Hub, keepers and shards together, without one socket: on a real Redis, and on the embedded shard with a paused clock.

mod census;
mod chain;
mod fixture;
mod keeper;
mod silence;
mod storms;
