//! Servers that tests start: pods, shards, and what stands around them.

mod balancer;
mod cluster;
mod collector;
mod home;
mod pod;
mod redis;

pub use balancer::Balancer;
pub use cluster::{Cluster, HEALED};
pub use collector::{Collector, Manner, Otlp, Taken};
pub use home::{embedded, on_redis, over_http2, over_tls};
pub use pod::{Ended, Pod, Signal};
pub use redis::{Console, RedisServer};
