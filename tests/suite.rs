//! The integration tests: real sockets against the real binary.
//!
//! Each test names the promise that it proves; the promises are in README and docs/guarantees.md. The crate
//! `testkit` starts pods and speaks to them, as viewer, backend, probe or vandal; every module here is one subject.

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
mod clients;
mod contract;
mod deploy;
mod documents;
mod exits;
mod http2;
mod identity;
mod layers;
mod limits;
mod listener;
mod manifests;
mod ops;
mod page;
mod paths;
mod proxy;
mod readiness;
mod shards;
mod telemetry;
mod tls;
mod wss;

/// The same tests on the shard in the pod's own memory, and on a Redis.
#[path = "."]
mod embedded {
    pub(crate) use testkit::embedded as home;
    #[path = "rest/mod.rs"]
    mod rest;
    #[path = "watching/mod.rs"]
    mod watching;
}

#[path = "."]
#[expect(clippy::duplicate_mod, reason = "the same tests, at another home")]
mod redis {
    pub(crate) use testkit::on_redis as home;
    #[path = "rest/mod.rs"]
    mod rest;
    #[path = "watching/mod.rs"]
    mod watching;
}

#[path = "."]
#[expect(clippy::duplicate_mod, reason = "the same tests, at another home")]
mod over_http2 {
    pub(crate) use testkit::over_http2 as home;
    #[path = "watching/mod.rs"]
    mod watching;
}

#[path = "."]
#[expect(clippy::duplicate_mod, reason = "the same tests, at another home")]
mod private {
    pub(crate) use testkit::over_tls as home;
    #[path = "rest/mod.rs"]
    mod rest;
    #[path = "watching/mod.rs"]
    mod watching;
}
