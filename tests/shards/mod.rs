//! Shards on Redis: who hears what, and what becomes of viewers when a Redis fails.

mod audience;
mod cluster;
mod connections;
mod costs;
mod dead;
mod interest;
mod joining;
mod outages;
mod starting;
