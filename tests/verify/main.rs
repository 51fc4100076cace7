//! Readiness at its real times, in real cgroups: minutes, and figures that are printed. `make verify` runs it on the
//! release build; `cargo test --release --test verify -- --nocapture --test-threads 1` is the same.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what fails here fails a test, and says so"
)]

#[allow(dead_code, unused_imports, reason = "shared with the suite, which uses more of it")]
#[path = "../checker/mod.rs"]
mod checker;
#[allow(dead_code, reason = "shared with the suite, which uses more of it")]
#[path = "../shards/cluster.rs"]
mod cluster;
#[path = "../contract/unobserved.rs"]
mod contract;
#[path = "../readiness/crowd.rs"]
mod crowd;
mod exact;
mod fleet;
mod floods;
mod group;
#[path = "../readiness/heat.rs"]
mod heat;
mod leaving;
mod limits;
mod sampling;
mod skew;
mod speed;
#[allow(dead_code, unused_imports, reason = "shared with the suite, which uses more of it")]
#[path = "../world/mod.rs"]
mod world;

pub(crate) use crowd::Crowd;
pub(crate) use heat::Heater;
