//! Load tester.
mod mark;
mod rng;
mod scan;
mod wire;
pub use wire::accept_key;
