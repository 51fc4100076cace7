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

mod exact;
mod fleet;
mod floods;
mod group;
mod leaving;
mod limits;
mod sampling;
mod skew;
mod speed;
