//! Load tester.
mod checker;
mod clock;
mod ledger;
mod mark;
mod rng;
mod scan;
mod schedule;
mod tally;
mod wire;
pub use wire::accept_key;
