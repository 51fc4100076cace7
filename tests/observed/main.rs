//! `make verify`: the service levels as Prometheus sees them beside what a load tester measured, and every alert in the
//! trouble that it is for. Windows are those of `deploy/prometheus` divided by 60.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what fails here fails a test, and says so"
)]

mod agreement;
mod trouble;

/// A pod that is measured takes everybody, however busy the machine is.
const NEVER_HOT: (&str, &str) = ("FANFARE_READY_CPU_HIGH", "1");
