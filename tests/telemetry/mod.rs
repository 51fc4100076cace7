//! What pods tell about themselves: measures, traces and logs, and what happens to these when nobody listens.

mod callers;
mod faults;
mod logs;
mod measures;
mod objectives;
mod push;
mod scrape;
mod skew;
mod slow;

pub(crate) use scrape::Scrape;
