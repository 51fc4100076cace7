//! Servers that tests start: pods, shards, and what stands around them.

mod backends;
mod balancer;
mod cluster;
mod collector;
mod pod;
mod redis;

pub use backends::{embedded, on_redis, over_http2, over_tls};
pub use balancer::Balancer;
pub use cluster::{Cluster, HEALED};
pub use collector::{Collector, Manner, Otlp, Taken};
pub use pod::{Ended, Pod, Signal};
pub use redis::{Console, RedisServer};
