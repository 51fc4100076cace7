//! HTTP: the routes, one file a resource.

mod auth;
mod batch;
mod client;
mod comments;
mod cors;
mod debug;
mod extract;
mod handover;
mod items;
mod ops;
mod page;
mod problem;
mod refusal;
mod state;
mod status;
mod stream;
mod viewers;
mod watch;

use std::time::Duration;

use axum::{
    Router, middleware,
    response::Response,
    routing::{any, delete, get, post},
};

#[cfg(feature = "fuzzing")]
pub use batch::fuzz_bodies;
pub use client::{Origins, Proxies};
pub use ops::router as ops_router;
use problem::Problem;
pub use refusal::SocketRefusals;
use state::Deadline;
pub use state::{Api, Ops, Parts};

/// How long any request may take, its body included; a shard that does not answer is noticed sooner.
const ROUTE_DEADLINE: Duration = Duration::from_secs(10);

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
