//! Blue and green pods behind a real Envoy, which asks istiod for what our Istio objects mean. `tests/bluegreen.sh`, a part of
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

#[allow(dead_code, reason = "shared with the suite, which uses more of it")]
#[path = "../page/browser.rs"]
mod browser;
#[allow(dead_code, unused_imports, reason = "shared with the suite, which uses more of it")]
#[path = "../checker/mod.rs"]
mod checker;
#[path = "../contract/unobserved.rs"]
mod contract;
#[allow(dead_code, reason = "shared with the suite, which uses more of it")]
#[path = "../readiness/crowd.rs"]
mod crowd;
mod endpoints;
mod envoy;
mod istiod;
mod moving;
mod rehearsal;
mod routing;
mod runbook;
mod stage;
mod streams;
#[allow(dead_code, unused_imports, reason = "shared with the suite, which uses more of it")]
#[path = "../world/mod.rs"]
mod world;

pub(crate) use crowd::Crowd;
