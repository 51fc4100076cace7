//! Shards on Redis: who hears what, and what becomes of viewers when a Redis fails.

mod cluster;
mod connections;
mod dead;
mod interest;
mod joining;
mod outages;
mod starting;
