//! What is told of an event, and what is in time.

use std::time::Duration;

/// What is in time: 99 % should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Objectives {
    /// Deliveries that take longer are late.
    pub deliver: Duration,
    /// Joins that take longer are late.
    pub join: Duration,
}

impl Default for Objectives {
    fn default() -> Self {
        Self { deliver: Duration::from_millis(200), join: Duration::from_millis(500) }
    }
}

/// Who wrote to the viewer's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seating {
    /// Its lane: the viewer keeps up.
    Prompt,
    /// Its own task: the viewer was slow, or has just come.
    Lagging,
}

/// What became of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostOutcome {
    /// It is in the stream.
    Acked,
    /// It was there before.
    Duplicate,
    /// A rule forbade it.
    Refused,
    /// The shard did not answer.
    Unknown,
}

/// What became of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JoinSpeed {
    Within,
    Late,
    /// The viewer left when it was late already.
    Abandoned,
}

/// Where a newcomer's first frames came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinSource {
    /// The stream's tape on this pod.
    Tape,
    /// The history on the shard.
    History,
}

/// What the pod tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Logs,
    Spans,
    Metrics,
}
