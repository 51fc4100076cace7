//! The integration tests: real sockets against the real binary.
//!
//! Each test names the promise that it proves; the promises are in GUARANTEES and PROTOCOL of the design. `world` starts
//! pods and speaks to them, as viewer, backend, probe or vandal; every other module is one subject.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what fails here fails a test, and says so"
)]

mod bad_input;
mod exits;
mod layers;
mod rest;
mod tls;
mod watching;
mod world;
