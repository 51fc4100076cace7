//! The part of an answered post that counts.

use crate::domain::{Accepted, Refusal};

/// What an answered post counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostCharge {
    /// One post: the stream has it now, or it can never be accepted.
    Full,
    /// Nothing, as often as posts may come: it was in the stream already.
    Repetition,
    /// Nothing: the shard did not answer, and the poster has to repeat it.
    Nothing,
}

impl PostCharge {
    /// Returns the charge of a post by its answer.
    #[must_use]
    pub const fn of(answer: &Result<Accepted, Refusal>) -> Self {
        match answer {
            Ok(Accepted { duplicate: true, .. }) => Self::Repetition,
            Err(Refusal::ShardUnavailable) => Self::Nothing,
            _ => Self::Full,
        }
    }
}
