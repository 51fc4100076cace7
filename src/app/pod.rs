//! A pod that runs.

use std::net::SocketAddr;

use super::ops_thread::OpsThread;
use crate::{
    config::ExitTimes, net::Ending, readiness::Gate, release::Release, shards::Shards, tasks::Tasks,
};

/// Where a pod listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Viewers and backends.
    pub public: SocketAddr,
    /// Probes.
    pub ops: SocketAddr,
}

/// Whom a pod serves.
#[derive(Debug, Clone, Copy)]
pub struct ServingMode {
    /// Whether anybody may watch and post, without keys.
    pub open: bool,
    /// Whether the demo page is served.
    pub demo: bool,
    /// Whether the public listener speaks TLS.
    pub private: bool,
}

/// A pod that runs.
pub struct Pod {
    pub(super) addresses: Addresses,
    pub(super) manner: ServingMode,
    pub(super) gate: Gate,
    pub(super) tasks: Tasks,
    pub(super) release: Release,
    pub(super) ending: Ending,
    pub(super) shards: Shards,
    pub(super) ops: OpsThread,
    pub(super) exit: ExitTimes,
}

impl Pod {
    /// Where the pod listens.
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// How many Redis shards there are; 0 for the embedded one.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        self.shards.redis_count()
    }

    /// Whom the pod serves.
    #[must_use]
    pub const fn manner(&self) -> ServingMode {
        self.manner
    }
}
