//! The error codes that clients and backends see, in frames and in REST answers alike.

use crate::domain::Refusal;

/// What went wrong, as a stable name for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request can never be accepted as it is.
    BadRequest,
    /// A text, or data, is over its limit.
    TooLong,
    /// The right is missing.
    NotAllowed,
    /// The token or key is absent, or not good.
    BadToken,
    /// The token was good, and has ended or was revoked.
    TokenExpired,
    /// There is nothing under this name.
    NotFound,
    /// It was done too often; `retry_ms` or `Retry-After` says when to try again.
    RateLimited,
    /// The idempotency id was used for another content.
    IdReused,
    /// The stream's shard did not answer in time.
    ShardUnavailable,
    /// This pod takes no further viewers for now; another may, and so may this one later.
    NotAccepting,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 10] = [
        Self::BadRequest,
        Self::TooLong,
        Self::NotAllowed,
        Self::BadToken,
        Self::TokenExpired,
        Self::NotFound,
        Self::RateLimited,
        Self::IdReused,
        Self::ShardUnavailable,
        Self::NotAccepting,
    ];
}

impl From<&Refusal> for Code {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::BadRequest(_) => Self::BadRequest,
            Refusal::TooLong => Self::TooLong,
            Refusal::NotAllowed(_) => Self::NotAllowed,
            Refusal::RateLimited { .. } => Self::RateLimited,
            Refusal::IdReused => Self::IdReused,
            Refusal::ShardUnavailable => Self::ShardUnavailable,
        }
    }
}
