//! `make verify`: the service levels as Prometheus sees them beside what a load tester measured, and every alert in the
//! trouble that it is for. Windows are those of `deploy/prometheus` divided by 60.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    dead_code,
    unused_imports,
    reason = "what fails here fails a test, and says so; not every test uses all of the world"
)]

#[path = "observed/agreement.rs"]
mod agreement;
#[path = "contract/unobserved.rs"]
mod contract;
mod prometheus;
#[path = "observed/trouble.rs"]
mod trouble;
mod world;

/// A pod that is measured takes everybody, however busy the machine is.
const NEVER_HOT: (&str, &str) = ("FANFARE_READY_CPU_HIGH", "1");
