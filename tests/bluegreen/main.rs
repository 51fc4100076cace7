//! Blue and green pods behind a real Envoy, which asks istiod for what our Istio objects mean. `scripts/bluegreen.sh`, a part of
//! `make verify`, installs what it takes and runs it; its argument `rehearse` lets a person try the runbook.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what fails here fails a test, and says so"
)]

mod endpoints;
mod envoy;
mod istiod;
mod moving;
mod rehearsal;
mod routing;
mod runbook;
mod stage;
mod streams;
