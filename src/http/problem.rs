//! Errors as answers: `application/problem+json` (RFC 9457), and which status each error has.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    domain::Refusal, identity::BadToken, limits::TooOften, protocol::Code, readiness::Refused,
    shards::Unavailable,
};

/// The longest description of a fault in JSON, in characters.
const MAX_DETAIL_CHARS: usize = 300;

/// An error answer.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    r#type: &'static str,
    title: &'static str,
    #[serde(serialize_with = "status_number")]
    pub(super) status: StatusCode,
    pub(super) code: Code,
    pub(super) detail: String,
    #[serde(skip)]
    headers: &'static [(&'static str, &'static str)],
    /// When to come again, in seconds.
    #[serde(skip)]
    retry_after_s: Option<u64>,
    /// Whether the connection ends with the answer.
    #[serde(skip)]
    ends: bool,
}

fn status_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        let (detail, r#type) = (detail.into(), "about:blank");
        Self { r#type, title, status, code, detail, headers: &[], retry_after_s: None, ends: false }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadRequest, detail)
    }

    /// Names what is wrong with JSON, with the fields that there are where one is unknown. What is sent back of a
    /// field's name is bounded.
    pub(super) fn bad_json(of: &str, error: &serde_json::Error) -> Self {
        let detail: String = format!("{of}: {error}").chars().take(MAX_DETAIL_CHARS).collect();
        Self::bad_request(detail)
    }

    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, Code::BadRequest, detail)
    }

    pub(super) fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, Code::NotAllowed, detail)
    }

    /// Whoever asks for too many handshakes.
    pub(super) fn joins_too_often(TooOften { wait }: TooOften) -> Self {
        Self {
            retry_after_s: Some(seconds(wait)),
            // Those who are refused must not hold descriptors and memory.
            ends: true,
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, "too many handshakes")
        }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, detail)
    }

    pub(super) fn not_allowed(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, Code::NotAllowed, detail)
    }

    /// Nobody: the answer says by which scheme to come (RFC 9110 section 11.6.1).
    pub(super) fn bad_token(detail: impl Into<String>) -> Self {
        Self::unauthorized(Code::BadToken, detail)
    }

    fn unauthorized(code: Code, detail: impl Into<String>) -> Self {
        let headers: &[_] = &[("www-authenticate", "Bearer")];
        Self { headers, ..Self::new(StatusCode::UNAUTHORIZED, code, detail) }
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::BadRequest, "the route has no such method; see Allow")
    }

    /// A route that answers `GET` only, not even `HEAD`.
    pub(super) fn only_get() -> Self {
        Self { headers: &[("allow", "GET")], ..Self::method_not_allowed() }
    }

    /// Only shards are waited for, so that this too means: it may or may not have been posted.
    pub(super) fn deadline() -> Self {
        let detail = "the request took too long; repeat it with the same ids";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::ShardUnavailable, detail).retry_soon()
    }

    /// A handshake that has to be made in another way: with `Upgrade`, as RFC 9110 section 15.5.22 asks, and with the
    /// version of RFC 6455 section 4.4.
    pub(super) fn upgrade_required(detail: &str) -> Self {
        let headers: &[_] =
            &[("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-version", "13")];
        Self { headers, ..Self::new(StatusCode::UPGRADE_REQUIRED, Code::BadRequest, detail) }
    }

    fn retry_soon(self) -> Self {
        Self { retry_after_s: Some(1), ..self }
    }
}

/// Whole seconds, for `Retry-After`: at least one.
fn seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX).max(1)
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::BadRequest(_) | Refusal::TooLong | Refusal::IdReused => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::NotAllowed(_) => StatusCode::FORBIDDEN,
            Refusal::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Refusal::ShardUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let problem = Self::new(status, Code::from(&refusal), refusal.to_string());
        match refusal {
            Refusal::RateLimited { retry_ms } => {
                Self { retry_after_s: Some(seconds(Duration::from_millis(retry_ms))), ..problem }
            }
            Refusal::ShardUnavailable => problem.retry_soon(),
            _ => problem,
        }
    }
}

impl From<BadToken> for Problem {
    fn from(bad: BadToken) -> Self {
        let code = if bad.has_ended() { Code::TokenExpired } else { Code::BadToken };
        Self::unauthorized(code, bad.to_string())
    }
}

impl From<Unavailable> for Problem {
    fn from(unavailable: Unavailable) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::ShardUnavailable, unavailable.to_string())
            .retry_soon()
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self {
            retry_after_s: Some(refused.retry_after_s),
            // Those who are refused must not hold descriptors and memory.
            ends: true,
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::NotAccepting, refused.why)
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(&self)).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        for &(name, value) in self.headers {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.ends {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
