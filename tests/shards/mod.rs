//! Shards on Redis: who hears what, and what becomes of viewers when a Redis fails.

mod audience;
mod batches;
mod chaos;
mod conditions;
mod connections;
mod costs;
mod dead;
mod failover;
mod interest;
mod joining;
mod lists;
mod names;
mod outage_lines;
mod outages;
mod outposts;
mod passwords;
mod refusals;
mod slow;
mod starting;
mod ways;
