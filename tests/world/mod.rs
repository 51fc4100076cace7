//! What the tests are made of: pods, viewers, backends and peers that break the rules.
//!
//! A [`Pod`] is the real binary in a process of its own. A [`Viewer`] speaks WebSocket as a good client does and keeps a
//! log; a [`Peer`] sends whatever bytes it is told to. Every wait has a deadline.

mod balancer;
mod collector;
mod faketime;
mod files;
mod hoard;
mod home;
mod http;
mod http2;
#[allow(dead_code, reason = "not every binary of tests has tokens")]
pub(crate) mod issuer;
mod names;
mod patience;
mod peer;
mod pod;
mod private;
mod raw;
#[expect(unreachable_pub, dead_code, reason = "shared with the tests inside the crate and the benchmarks")]
mod redis;
mod relay;
mod silent;
mod throttle;
mod viewer;

use std::time::Duration;

pub(crate) use balancer::Balancer;
pub(crate) use collector::{Collector, Manner, Otlp, Taken};
pub(crate) use faketime::{clock_off_by, faketime};
pub(crate) use files::TempFile;
pub(crate) use hoard::Hoard;
pub(crate) use home::{embedded, on_redis, over_http2, over_tls};
pub(crate) use http::{Answer, exchange, get, post, request, request_of_other, try_request};
pub(crate) use http2::Http2;
pub(crate) use issuer::{Issuer, Signs};
pub(crate) use names::Name;
pub(crate) use patience::{eventually, in_time};
pub(crate) use peer::{Heard, Peer};
pub(crate) use pod::{Pod, Signal};
pub(crate) use private::{Authority, shake, speak_tls, watch_over_http2};
pub(crate) use raw::{RawFrame, opcode};
pub(crate) use redis::RedisServer;
pub(crate) use relay::{Hitch, Relay, Way};
pub(crate) use silent::Silent;
pub(crate) use viewer::{Join, Refusal, Viewer};

/// How long anything may take that has no bound of its own: long enough for a machine that has ten times as much to do
/// as it has processors. No test is faster or slower for it, since every wait ends with what it waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Lets time pass where time itself is what is tested.
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// A stream that no other test uses.
pub(crate) fn stream_for(test: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{test}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
