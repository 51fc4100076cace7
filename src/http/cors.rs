//! Calls of REST from pages of other origins (<https://fetch.spec.whatwg.org/#http-cors-protocol>).

use std::time::Duration;

use axum::http::{
    HeaderName, Method,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::Origins;

/// How long a browser may remember the answer to a preflight; none remembers it for longer.
const REMEMBERED: Duration = Duration::from_secs(2 * 60 * 60);

/// Answers preflights, and lets pages of these origins read the answers: the same pages that may watch. Credentials
/// are tokens that a page shows itself, and never cookies.
pub(super) fn layer(origins: &Origins) -> CorsLayer {
    let allowed = if origins.are_all() {
        AllowOrigin::any()
    } else {
        let origins = origins.clone();
        AllowOrigin::predicate(move |origin, _| origins.have(origin))
    };
    let names = ["idempotency-key", "traceparent", "tracestate"].map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE].into_iter().chain(names).collect::<Vec<_>>())
        .expose_headers([RETRY_AFTER])
        .max_age(REMEMBERED)
}
