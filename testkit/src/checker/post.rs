//! What posters saw.

use std::time::Instant;

/// One attempt to post a comment. Attempts with the same text are the same post with the same idempotency id.
#[derive(Debug, Clone)]
pub struct Posted {
    /// The stream.
    pub stream: String,
    /// The text, which no other post has.
    pub body: String,
    /// The moment before it was sent.
    pub sent: Instant,
    /// The moment of its answer, or of giving up.
    pub answered: Instant,
    /// The answer.
    pub outcome: Outcome,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the stream; `duplicate` if it was before.
    Acked {
        /// The comment's id.
        id: String,
        /// Its number in the stream.
        seq: u64,
        /// Whether it was stored before.
        duplicate: bool,
    },
    /// Nobody knows.
    Unknown,
}

impl Posted {
    /// Whether it is known to be in the stream.
    pub fn is_acked(&self) -> bool {
        self.outcome != Outcome::Unknown
    }
}
