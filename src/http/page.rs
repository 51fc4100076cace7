//! `/`: the demo page.

use axum::{
    extract::State,
    http::header,
    response::{Html, IntoResponse},
};

use super::{Api, Problem};

/// Only what the page itself holds runs, and it talks to this server only.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
     connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page's parts in one file, so that it fetches nothing. The client is the one that docs/clients.md shows.
const PAGE: &str = concat!(
    include_str!("page/head.html"),
    "<style>\n",
    include_str!("page/style.css"),
    "</style>\n</head>\n",
    include_str!("page/body.html"),
    "<script type=\"module\">\n",
    include_str!("page/watch-stream.mjs"),
    include_str!("page/base.js"),
    include_str!("page/list.js"),
    include_str!("page/posts.js"),
    include_str!("page/page.js"),
    "</script>\n</body>\n</html>\n",
);

/// One page with its script and style; it fetches nothing.
pub(super) async fn page(State(api): State<Api>) -> Result<impl IntoResponse, Problem> {
    if !api.0.demo {
        return Err(Problem::not_found("no such route"));
    }
    Ok((guarded(POLICY), Html(PAGE)))
}

/// The headers of a page that runs only what its policy names.
pub(super) fn guarded(policy: &'static str) -> [(header::HeaderName, &'static str); 2] {
    [(header::CONTENT_SECURITY_POLICY, policy), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")]
}
