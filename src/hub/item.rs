//! What a stream's viewers are sent, in order.

use crate::{
    domain::Position,
    protocol::{self, Entry, LiveComment, SharedFrame},
};

/// One thing that goes to every viewer of a stream, in order.
#[derive(Debug, Clone)]
pub struct Item {
    pub(super) content: Content,
    pub(super) position: Position,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A comment, and whether it is a plain one; others are not skipped while the viewer can be served.
    Comment {
        live: LiveComment,
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

impl Item {
    /// A comment that was just posted.
    #[must_use]
    pub fn comment(entry: &Entry) -> Self {
        Self::of(entry, protocol::comment(entry, false))
    }

    /// A comment that follows a reset.
    #[must_use]
    pub fn history(entry: &Entry) -> Self {
        Self::of(entry, protocol::comment(entry, true))
    }

    fn of(entry: &Entry, live: LiveComment) -> Self {
        Self { content: Content::Comment { live, priority: entry.priority }, position: entry.position() }
    }

    /// Entries that cannot be recovered: those numbered from `from` up to the position.
    #[must_use]
    pub fn gap(from: u64, position: Position) -> Self {
        let frame = protocol::gap(from, position.seq, position);
        Self { content: Content::Gap { frame, width: position.seq.saturating_sub(from) + 1 }, position }
    }

    /// The history began anew at the position.
    #[must_use]
    pub fn reset(position: Position) -> Self {
        Self { content: Content::Reset { frame: protocol::reset(position) }, position }
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
            Content::Comment { live, .. } => &live.frame,
            Content::Gap { frame, .. } | Content::Reset { frame } => frame,
        }
    }
}
