//! The parts that Fanfare's tests share, also with the benchmarks and the load tester's tests: pods, shards, viewers,
//! backends, peers that break the rules, and the checker, which holds what they saw against the promises.
//!
//! A [`Pod`] is the real binary in a process of its own. A [`Viewer`] speaks WebSocket as a good client does and keeps a
//! log; a [`Peer`] sends whatever bytes it is told to. Every wait has a deadline.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what fails here fails a test, and says so"
)]

pub mod browser;
pub mod chaos;
pub mod checker;
pub mod clients;
pub mod contract;
mod faketime;
mod files;
pub mod issuer;
mod loads;
mod network;
mod patience;
pub mod process;
mod program;
pub mod prometheus;
mod servers;
mod wire;

use std::time::Duration;

pub use faketime::{clock_off_by, faketime};
pub use files::TempFile;
pub use issuer::{Issuer, Signs};
pub use loads::{Crowd, Heater, Journey};
pub use network::{Direction, Fault, Hoard, Name, Relay, Silent};
pub use patience::{eventually, in_time};
pub use program::{binary, root};
pub use servers::{
    Balancer, Cluster, Collector, Console, Ended, HEALED, Manner, Otlp, Pod, RedisServer, Signal, Taken,
    embedded, on_redis, over_http2, over_tls,
};
pub use wire::{
    Answer, Authority, Frame, Heard, Http2, Join, Peer, RawFrame, Refusal, Seen, Shaken, Stream, Viewer,
    exchange, get, opcode, post, request, request_of_other, shake, speak_tls, try_request, watch_over_http2,
};

/// How long anything may take that has no bound of its own: long enough for a machine that has many times as much to do
/// as it has processors. No test is faster or slower for it, since every wait ends with what it waits for.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Lets time pass where time itself is what is tested.
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// A stream that no other test uses.
pub fn stream_for(test: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{test}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
