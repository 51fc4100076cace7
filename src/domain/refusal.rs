//! Why a post was not accepted.

/// Why a post was not accepted; each variant says who has to act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The poster sent something that can never be accepted.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The poster sent too much.
    #[error("the text or data is too long")]
    TooLong,
    /// The poster lacks the right.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// The poster posts too often.
    #[error("too many posts; wait {retry_ms} ms")]
    RateLimited {
        /// When to try again, in milliseconds.
        retry_ms: u64,
    },
    /// The poster used an idempotency id again, for something else.
    #[error("this idempotency id was used for another comment")]
    IdReused,
    /// The stream's shard did not answer in time: the outcome is unknown, and repeating with the same id is safe.
    #[error("the stream's shard did not answer; repeat with the same id")]
    ShardUnavailable,
}
