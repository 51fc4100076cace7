//! `/`: the demo page.

use axum::{
    http::header,
    response::{Html, IntoResponse},
};

/// Only what the page itself holds runs, and it talks to this server only.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
     connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One page with its script and style; it fetches nothing.
pub(super) async fn page() -> impl IntoResponse {
    (guarded(POLICY), Html(include_str!("page.html")))
}

/// The headers of a page that runs only what its policy names.
pub(super) fn guarded(policy: &'static str) -> [(header::HeaderName, &'static str); 2] {
    [(header::CONTENT_SECURITY_POLICY, policy), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")]
}
