//! What a comment is, who may post it, and the use cases: no I/O and no runtime.
//!
//! The [`Posting`] is the one way in for every post, whether it came over a WebSocket or by REST.

mod comment;
mod ids;
mod json;
mod planted;
mod position;
mod posting;
mod refusal;
mod rights;
mod rules;
mod scope;

pub use comment::{Author, Comment, Draft, Kind};
pub use ids::{BadId, EntryId, Epoch, PostId, StreamId, Timeline};
pub use json::{Object, object, optional_object, read_object};
pub use planted::PlantedFault;
pub use position::{BadPosition, Position};
#[cfg(feature = "fuzzing")]
pub use posting::fuzz_accept;
pub use posting::{Accepted, IdempotencyKey, Posting, Publication, Publish, PublishError};
pub use refusal::Refusal;
pub use rights::{Poster, Right, Rights, Service, Viewer};
pub use rules::{MAX_BODY_BYTES, MAX_BODY_GRAPHEMES, MAX_DATA_BYTES};
pub use scope::{BadPattern, StreamPatterns};

/// The time on this machine's clock, in milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
