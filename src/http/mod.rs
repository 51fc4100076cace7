//! HTTP: the routes, one file a resource, and the listeners.

mod auth;
mod batch;
mod client;
mod comments;
mod cors;
mod debug;
mod exchange;
mod extract;
mod items;
mod listener;
mod ops;
mod page;
mod problem;
mod status;
mod stream;
mod viewers;
mod watch;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    http::request,
    middleware,
    response::Response,
    routing::{any, delete, get, post},
};

use crate::{
    connection::Connections,
    domain::{Desk, Limits},
    hub::Hub,
    identity::Identity,
    readiness::Gate,
    shards::Shards,
    shutdown::Tasks,
};

#[cfg(feature = "fuzzing")]
pub use batch::fuzz_bodies;
pub use client::{Origins, Proxies};
pub use exchange::HttpLimits;
use listener::Arrived;
pub use listener::{Door, Listener, bind, serve};
pub use ops::{Ops, router as ops_router};
use problem::Problem;

/// The largest body of a request, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// The largest body of a batch, in bytes.
const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// How long any request may take, its body included; a shard that does not answer is noticed sooner.
const ROUTE_DEADLINE: Duration = Duration::from_secs(10);

/// The time until which a request must be answered.
#[derive(Debug, Clone, Copy)]
struct Deadline(tokio::time::Instant);

/// What the public routes use. Cloning shares it.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

/// The parts of the pod that the public routes use.
pub struct Parts {
    /// Serves viewers.
    pub connections: Connections,
    /// Where posts go.
    pub desk: Desk<Shards>,
    /// Where history comes from.
    pub shards: Shards,
    /// Knows the viewers.
    pub hub: Hub,
    /// Owns the viewers' tasks.
    pub tasks: Tasks,
    /// Whether one more viewer may come in.
    pub gate: Gate,
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
    fn address_of(&self, request: &request::Parts) -> IpAddr {
        let arrived = request.extensions.get::<Arrived>();
        arrived.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |arrived| {
            self.0.proxies.client(arrived.peer, &request.headers)
        })
    }
}

/// The public routes: the table of contents.
pub fn router(api: Api) -> Router {
    let cors = cors::layer(&api.0.origins);
    // Its answers are for pages of other origins too, an answer at the deadline among them.
    let of_viewers = Router::new()
        .route("/v1/streams/{stream}/comments", get(comments::history).post(comments::post))
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .route_layer(middleware::from_fn(deadline))
        .route_layer(cors);
    Router::new()
        .route("/", get(page::page))
        .route("/v1/streams/{stream}/watch", any(watch::watch))
        .route("/v1/streams/{stream}", get(stream::show))
        .route("/v1/comments", post(batch::post))
        .route("/v1/viewers/{author}", delete(viewers::revoke))
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .fallback(|| async { Problem::not_found("no such route") })
        .layer(middleware::from_fn(deadline))
        .merge(of_viewers)
        .with_state(api)
}

/// Every route has a deadline, which its handler may know.
async fn deadline(mut request: axum::extract::Request, next: middleware::Next) -> Result<Response, Problem> {
    let deadline = tokio::time::Instant::now() + ROUTE_DEADLINE;
    request.extensions_mut().insert(Deadline(deadline));
    tokio::time::timeout_at(deadline, next.run(request)).await.map_err(|_| Problem::deadline())
}
