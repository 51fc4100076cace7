//! Parts of a request, checked.

use std::convert::Infallible;

use axum::{
    body::HttpBody as _,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, header, request::Parts},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::time::{Duration, timeout};

use super::{Api, Problem};
use crate::{
    domain::{PostId, StreamId, read_object},
    protocol::Code,
    telemetry::CallerSpan,
};

/// The largest body of a request, in bytes.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;
/// The largest body of a batch, in bytes.
pub(super) const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// How long a body may take to come.
const BODY_DEADLINE: Duration = Duration::from_secs(5);

/// The stream that the path names.
pub(super) struct StreamPath(pub(super) StreamId);

impl FromRequestParts<Api> for StreamPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Path(stream) = Path::<String>::from_request_parts(parts, api)
            .await
            .map_err(|_| Problem::bad_request("the stream in the path is not UTF-8"))?;
        stream.parse().map(Self).map_err(|error| Problem::bad_request(format!("{error}")))
    }
}

/// The query, typed.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Api> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let Query(params) =
            Query::try_from_uri(&parts.uri).map_err(|error| Problem::bad_request(error.body_text()))?;
        Ok(Self(params))
    }
}

/// The query of a route that has no parameters.
pub(super) struct NoParams;

impl FromRequestParts<Api> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        if parts.uri.query().unwrap_or_default().is_empty() {
            Ok(Self)
        } else {
            Err(Problem::bad_request("this call has no query parameters"))
        }
    }
}

/// The `Idempotency-Key`, if there is one.
pub(super) struct IdempotencyHeader(pub(super) Option<PostId>);

impl FromRequestParts<Api> for IdempotencyHeader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let id = value.to_str().ok().filter(|_| values.next().is_none()).and_then(|text| text.parse().ok());
        id.map(|id| Self(Some(id))).ok_or_else(|| {
            Problem::bad_request("Idempotency-Key must be one value of 1 to 64 printable ASCII characters")
        })
    }
}

/// The caller's span, if the request names one. A name that cannot be read, or a second one, is as good as none: see
/// <https://www.w3.org/TR/trace-context/#a-traceparent-is-received>.
pub(super) struct Trace(pub(super) Option<CallerSpan>);

impl FromRequestParts<Api> for Trace {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Infallible> {
        let mut values = parts.headers.get_all("traceparent").iter();
        let only = values.next().filter(|_| values.next().is_none());
        Ok(Self(only.and_then(|value| CallerSpan::read(value.to_str().ok()?))))
    }
}

/// A body of at most so many bytes that is said to be JSON.
pub(super) struct JsonText<const MAX_BYTES: usize>(pub(super) Bytes);

/// A body of at most so many bytes that is a JSON object.
pub(super) struct JsonBody<T, const MAX_BYTES: usize>(pub(super) T);

impl<T: DeserializeOwned, const MAX_BYTES: usize> FromRequest<Api> for JsonBody<T, MAX_BYTES> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let JsonText(text) = JsonText::<MAX_BYTES>::from_request(request, api).await?;
        read_object(&text).map(Self).map_err(|error| Problem::bad_json("body", &error))
    }
}

impl<const MAX_BYTES: usize> FromRequest<Api> for JsonText<MAX_BYTES> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Api) -> Result<Self, Problem> {
        let of_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = of_type.and_then(|of_type| of_type.split(';').next()).map(str::trim);
        if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Code::BadRequest,
                "Content-Type must be application/json",
            ));
        }
        let too_large =
            || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLong, "the body is over the limit");
        let body = request.into_body();
        // A body that announces too much is not waited for.
        if usize::try_from(body.size_hint().lower()).map_or(true, |announced| announced > MAX_BYTES) {
            return Err(too_large());
        }
        let read = timeout(BODY_DEADLINE, Limited::new(body, MAX_BYTES).collect()).await.map_err(|_| {
            Problem::new(StatusCode::REQUEST_TIMEOUT, Code::BadRequest, "the body took too long")
        })?;
        match read {
            Ok(read) => Ok(Self(read.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
            Err(_) => Err(Problem::bad_request("the body could not be read")),
        }
    }
}
