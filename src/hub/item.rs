//! What a stream's viewers are sent, in order.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::mark::Mark;
use crate::{
    domain::Position,
    protocol::{self, Entry, LiveComment, SharedFrame},
    telemetry::TracedEntry,
};

/// One thing that goes to every viewer of a stream, in order.
#[derive(Debug, Clone)]
pub struct Item {
    pub(super) content: Content,
    pub(super) position: Position,
    pub(super) live: Option<Live>,
}

/// What is measured of a comment that was just posted.
#[derive(Debug, Clone)]
pub(super) struct Live {
    accepted_at_ms: u64,
    /// How old it was when it came to this pod.
    pub(super) age: Duration,
    pub(super) priority: bool,
    /// The trace of its post, if that is traced.
    pub(super) traced: Option<Arc<TracedEntry>>,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A comment, and whether it is a plain one; others are not skipped while the viewer can be served.
    Comment {
        comment: LiveComment,
        priority: bool,
    },
    Gap {
        frame: SharedFrame,
        width: u64,
    },
    Reset {
        frame: SharedFrame,
    },
}

/// An item on a tape.
pub(super) struct Slot {
    pub(super) item: Item,
    pub(super) after: Mark,
    pub(super) came: Instant,
}

impl Item {
    /// A comment that was just posted.
    #[must_use]
    pub fn comment(entry: &Entry) -> Self {
        let Entry { accepted_at_ms, priority, trace, seq, .. } = *entry;
        let traced = trace.and_then(|post| TracedEntry::new(post, seq)).map(Arc::new);
        let live = Live { accepted_at_ms, age: Duration::ZERO, priority, traced };
        Self::of(entry, protocol::comment(entry, false), Some(live))
    }

    /// A comment that follows a reset.
    #[must_use]
    pub fn history(entry: &Entry) -> Self {
        Self::of(entry, protocol::comment(entry, true), None)
    }

    fn of(entry: &Entry, comment: LiveComment, live: Option<Live>) -> Self {
        let content = Content::Comment { comment, priority: entry.priority };
        Self { content, position: entry.position(), live }
    }

    /// Entries that cannot be recovered: those numbered from `from` up to the position.
    #[must_use]
    pub fn gap(from: u64, position: Position) -> Self {
        let frame = protocol::gap(from, position.seq, position);
        let content = Content::Gap { frame, width: position.seq.saturating_sub(from) + 1 };
        Self { content, position, live: None }
    }

    /// The history began anew at the position.
    #[must_use]
    pub fn reset(position: Position) -> Self {
        Self { content: Content::Reset { frame: protocol::reset(position) }, position, live: None }
    }

    /// When a live comment was accepted, in milliseconds of its shard's time; none for anything else.
    #[must_use]
    pub fn accepted_at_ms(&self) -> Option<u64> {
        self.live.as_ref().map(|live| live.accepted_at_ms)
    }

    /// Says how old a live comment is now that it has come to this pod.
    pub fn came_at_age(&mut self, age: Duration) {
        if let Some(live) = &mut self.live {
            live.age = age;
        }
    }

    /// The type of its frame, in a word.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.content {
            Content::Comment { .. } => "comment",
            Content::Gap { .. } => "gap",
            Content::Reset { .. } => "reset",
        }
    }

    /// Whether a viewer that would miss it is closed instead, to resume: every kind but a plain comment.
    pub(super) const fn is_priority(&self) -> bool {
        matches!(self.content, Content::Comment { priority: true, .. })
    }

    pub(super) fn frame(&self) -> &SharedFrame {
        match &self.content {
            Content::Comment { comment, .. } => &comment.frame,
            Content::Gap { frame, .. } | Content::Reset { frame } => frame,
        }
    }
}
