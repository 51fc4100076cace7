//! Shards on Redis: who hears what, and what becomes of viewers when a Redis fails.

mod cluster;
mod interest;
