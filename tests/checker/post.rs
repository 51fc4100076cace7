//! What posters saw.

use std::time::Instant;

/// One attempt to post a comment. Attempts with the same text are the same post with the same idempotency id.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) stream: String,
    /// The text, which no other post has.
    pub(crate) body: String,
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
    pub(crate) outcome: Outcome,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is in the stream; `duplicate` if it was before.
    Acked { id: String, seq: u64, duplicate: bool },
    /// Nobody knows.
    Unknown,
}

impl Posted {
    /// Whether it is known to be in the stream.
    pub(crate) fn is_acked(&self) -> bool {
        self.outcome != Outcome::Unknown
    }
}
