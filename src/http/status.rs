//! `/status`: one pod at a glance, as JSON or as a page.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{Html, IntoResponse, Response},
};
use serde::Serialize;

use super::{
    Ops,
    page::{POLICY, guarded},
};
use crate::{
    hub::{Activity, LATELY, Outstanding},
    readiness::Reason,
    shards::ShardStatus,
    telemetry::{BUILD, Counts, Quantiles, VERSION},
};

/// A pod at a glance. Rates and streams are those of the last minute, latencies those of the last one to two.
#[derive(Debug, Serialize)]
struct Status {
    pod: String,
    track: String,
    version: &'static str,
    /// The commit that it was built of.
    build: &'static str,
    ready: bool,
    reasons: Vec<Reason>,
    /// The load over the quota; null if it is not known.
    cpu: Option<f64>,
    high: f64,
    low: f64,
    viewers: usize,
    streams: usize,
    deliveries_per_second: f64,
    late_per_second: f64,
    skipped_per_second: f64,
    delivery: Latency,
    join: Latency,
    shards: Vec<ShardAtAGlance>,
    worst_streams: Vec<StreamAtAGlance>,
    busiest_streams: Vec<StreamAtAGlance>,
    counts: Counts,
}

/// Latencies in milliseconds, and how many there were; null without any.
#[derive(Debug, Serialize)]
struct Latency {
    count: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    /// What 99 of 100 should keep to.
    objective_ms: f64,
}

/// A shard; counts are since the pod's start.
#[derive(Debug, Serialize)]
struct ShardAtAGlance {
    /// The share of its messages that found no viewer, 0 to 1; null without messages.
    waste: Option<f64>,
    #[serde(flatten)]
    status: ShardStatus,
}

#[derive(Debug, Serialize)]
struct StreamAtAGlance {
    stream: String,
    viewers: usize,
    deliveries_per_second: f64,
    late: u64,
    skipped: u64,
}

/// JSON, or the page for whoever prefers HTML.
pub(super) async fn status(State(ops): State<Ops>, headers: HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if prefers_html(accepts) { page().await.into_response() } else { json(State(ops)).await.into_response() }
}

/// The JSON, whatever is accepted.
pub(super) async fn json(State(ops): State<Ops>) -> impl IntoResponse {
    Json(look(&ops))
}

/// The page: it asks for the JSON every two seconds.
pub(super) async fn page() -> impl IntoResponse {
    (guarded(POLICY), Html(include_str!("status.html")))
}

/// Whether HTML is named, and JSON is not named before it.
fn prefers_html(accepts: &str) -> bool {
    let of_type =
        |name: &str| accepts.split(',').position(|part| part.trim().split(';').next() == Some(name));
    match (of_type("text/html"), of_type("application/json")) {
        (Some(html), Some(json)) => html < json,
        (html, _) => html.is_some(),
    }
}

fn look(ops: &Ops) -> Status {
    let (gate, totals, survey) = (ops.gate.state(), ops.hub.totals(), ops.hub.survey());
    let Activity { delivered, late, skipped } = survey.lately;
    let objectives = ops.sli.objectives();
    Status {
        pod: ops.pod.clone(),
        track: ops.track.clone(),
        version: VERSION,
        build: BUILD,
        ready: gate.ready,
        reasons: gate.reasons,
        cpu: gate.reading.map(|reading| reading.cpu),
        high: gate.high,
        low: gate.low,
        viewers: totals.viewers,
        streams: totals.streams,
        deliveries_per_second: per_second(delivered),
        late_per_second: per_second(late),
        skipped_per_second: per_second(skipped),
        delivery: Latency::of(ops.sli.deliveries_lately(), objectives.deliver),
        join: Latency::of(ops.sli.joins_lately(), objectives.join),
        shards: ops.shards.status().into_iter().map(ShardAtAGlance::of).collect(),
        worst_streams: survey.worst.into_iter().map(StreamAtAGlance::of).collect(),
        busiest_streams: survey.busiest.into_iter().map(StreamAtAGlance::of).collect(),
        counts: ops.sli.counts(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn per_second(lately: u64) -> f64 {
    (lately as f64 / LATELY.as_secs_f64() * 10.0).round() / 10.0
}

impl Latency {
    fn of(quantiles: Option<Quantiles>, objective: std::time::Duration) -> Self {
        let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1_000.0;
        Self {
            count: quantiles.map_or(0, |quantiles| quantiles.count),
            p50_ms: quantiles.map(|quantiles| ms(quantiles.p50)),
            p99_ms: quantiles.map(|quantiles| ms(quantiles.p99)),
            objective_ms: ms(objective),
        }
    }
}

impl ShardAtAGlance {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn of(status: ShardStatus) -> Self {
        let waste = (status.received > 0).then(|| status.unwatched as f64 / status.received as f64);
        Self { waste, status }
    }
}

impl StreamAtAGlance {
    fn of(Outstanding { stream, viewers, lately }: Outstanding) -> Self {
        let Activity { delivered, late, skipped } = lately;
        Self {
            stream: stream.to_string(),
            viewers,
            deliveries_per_second: per_second(delivered),
            late,
            skipped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::prefers_html;

    #[test]
    fn browsers_get_the_page_and_tools_the_json() {
        for html in ["text/html", "text/html,application/xhtml+xml,*/*;q=0.8", "TEXT/x, text/html;q=0.9"] {
            assert!(prefers_html(html), "{html}");
        }
        for json in ["", "*/*", "application/json", "application/json, text/html", "text/htmlx", ","] {
            assert!(!prefers_html(json), "{json}");
        }
    }
}
