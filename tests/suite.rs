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

// Input that is refused: frames, handshakes, JSON, text, REST calls and tokens, each with its exact answer.
mod bad_input;
// The clients of docs/clients.md in their own processes.
mod clients;
// Every answer and frame against docs/openapi.yaml and docs/asyncapi.yaml, both ways.
mod contract;
// The folder `deploy`: alert and recording rules, the collector's configuration, the dashboard.
mod deploy;
// README, `--help` and docs/guarantees.md against the sources.
mod documents;
// Start and exit of a pod: phases, exit codes, refused settings.
mod exits;
// Viewers over HTTP/2: streams of one connection beside requests.
mod http2;
// Tokens, service keys and revocations.
mod identity;
// The structure of the sources: rooms, folders, circles, names.
mod layers;
// Limits of posts, frames and handshakes; origins; clients behind proxies.
mod limits;
// Connections of HTTP: how they begin, stay and end.
mod listener;
// The folder `k8s`: numbers, selectors and Istio's objects.
mod manifests;
// `/status` and `/debug` of the ops listener.
mod ops;
// The page, in a headless browser.
mod page;
// Viewers on slow paths, directly and behind proxies.
mod paths;
// The fault proxy itself.
mod proxy;
// Readiness, admission and shedding of real pods under load.
mod readiness;
// Shards on Redis: subscriptions, audiences, faults and failovers.
mod shards;
// Metrics, traces and logs, and collectors that misbehave.
mod telemetry;
// Shards behind TLS.
mod tls;
// The public listener behind TLS.
mod wss;

/// The same tests on the shard in the pod's own memory, and on a Redis.
#[path = "."]
mod embedded {
    pub(crate) use testkit::embedded as backend;
    // Every route of REST with its answers and errors.
    #[path = "rest/mod.rs"]
    mod rest;
    // Watching and posting while everybody behaves.
    #[path = "watching/mod.rs"]
    mod watching;
}

#[path = "."]
#[expect(clippy::duplicate_mod, reason = "the same tests, on another backend")]
mod redis {
    pub(crate) use testkit::on_redis as backend;
    #[path = "rest/mod.rs"]
    mod rest;
    #[path = "watching/mod.rs"]
    mod watching;
}

#[path = "."]
#[expect(clippy::duplicate_mod, reason = "the same tests, on another backend")]
mod over_http2 {
    pub(crate) use testkit::over_http2 as backend;
    #[path = "watching/mod.rs"]
    mod watching;
}

#[path = "."]
#[expect(clippy::duplicate_mod, reason = "the same tests, on another backend")]
mod private {
    pub(crate) use testkit::over_tls as backend;
    #[path = "rest/mod.rs"]
    mod rest;
    #[path = "watching/mod.rs"]
    mod watching;
}
