//! The ops listener's routes: `/ready`, `/live`, `/metrics`, `/status` and `/debug`, for probes and people, never for viewers.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde::Serialize;

use super::{Ops, Problem, debug, status};
use crate::{
    readiness,
    shards::ShardStatus,
    telemetry::{Counts, PROMETHEUS_TEXT},
};

#[derive(Debug, Serialize)]
struct ReadyBody {
    #[serde(flatten)]
    state: readiness::State,
    viewers: usize,
    streams: usize,
    shards: BTreeMap<String, ShardStatus>,
    counts: Counts,
}

/// The ops routes.
pub fn router(ops: Ops) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .route("/live", get(live))
        .route("/metrics", get(metrics))
        .route("/status", get(status::status))
        .route("/status.html", get(status::page))
        .route("/status.json", get(status::json))
        .route("/debug/streams/{stream}", get(debug::explain))
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .fallback(|| async { Problem::not_found("no such route") })
        .with_state(ops)
}

/// 200 if new viewers should come, else 503; the shards are shown and are no reason.
async fn ready(State(ops): State<Ops>) -> (StatusCode, Json<ReadyBody>) {
    let totals = ops.hub.totals();
    let shards = ops.shards.status().into_iter().map(|shard| (shard.name.clone(), shard)).collect();
    let readiness = ReadyBody {
        state: ops.gate.state(),
        viewers: totals.viewers,
        streams: totals.streams,
        shards,
        counts: ops.sli.counts(),
    };
    let status = if readiness.state.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}

/// Every instrument, for Prometheus.
async fn metrics(State(ops): State<Ops>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], ops.sli.prometheus())
}

#[derive(Debug, Serialize)]
struct LiveBody {
    live: bool,
}

/// 200 while the process works, whatever its load and its shards; 503 when its workers stand still.
async fn live(State(ops): State<Ops>) -> (StatusCode, Json<LiveBody>) {
    let live = !ops.gate.stands_still();
    let status = if live { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(LiveBody { live }))
}
