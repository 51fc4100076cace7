//! What the routes use.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use axum::http::request;

use super::{
    client::{Origins, Proxies},
    refusal::SocketRefusals,
};
use crate::{
    connection::Connections, domain::Posting, hub::Hub, identity::Identity, limits::Limits, net::PeerInfo,
    readiness::Gate, shards::Shards, tasks::Tasks, telemetry::Sli,
};

/// The time until which a request must be answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(pub(super) tokio::time::Instant);

/// What the public routes use. Cloning shares it.
#[derive(Clone)]
pub struct Api(pub(super) Arc<Parts>);

/// The parts of the pod that the public routes use.
pub struct Parts {
    /// Serves viewers.
    pub connections: Connections,
    /// Where posts go.
    pub posting: Posting<Shards>,
    /// Where history comes from.
    pub shards: Shards,
    /// Knows the viewers.
    pub hub: Hub,
    /// Owns the viewers' tasks.
    pub tasks: Tasks,
    /// Whether one more viewer may come in.
    pub gate: Gate,
    /// Bounds the refusals on the WebSocket.
    pub socket_refusals: SocketRefusals,
    /// How often viewers and backends may do what they do.
    pub limits: Limits,
    /// Whose word on a client's address counts.
    pub proxies: Proxies,
    /// The pages that may watch.
    pub origins: Origins,
    /// Knows the keys and tokens.
    pub identity: Identity,
    /// Whether the demo page is served.
    pub demo: bool,
}

impl Api {
    /// Shares what the routes use.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The address of whoever sent a request.
    pub(super) fn address_of(&self, request: &request::Parts) -> IpAddr {
        let peer_info = request.extensions.get::<PeerInfo>();
        peer_info.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer_info| {
            self.0.proxies.client(peer_info.peer, &request.headers)
        })
    }
}

/// What the ops routes show. Cloning shares it.
#[derive(Clone)]
pub struct Ops {
    /// Whether the pod takes new viewers.
    pub gate: Gate,
    /// Knows the viewers.
    pub hub: Hub,
    /// Knows the shards.
    pub shards: Shards,
    /// Counts.
    pub sli: Sli,
    /// The pod's name.
    pub pod: String,
    /// The pod's track.
    pub track: String,
}
