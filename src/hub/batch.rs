//! What is taken from a stream at once and written to its seats.

use super::{tape::Mark, timing::Timing};
use crate::{domain::Position, protocol::SharedFrame};

/// Some frames of a tape, and the newest notice, taken at once for many seats.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) first: Mark,
    /// The place before the first frame.
    pub(super) floor: Option<Position>,
    pub(super) frames: Vec<(SharedFrame, Mark)>,
    pub(super) timing: Timing,
    pub(super) notice: Option<Notice>,
}

/// The newest value of something that is told to all and not part of the order. Only the newest counts.
#[derive(Debug, Clone)]
pub(super) struct Notice {
    /// From 1 on, and ever greater: a seat that has a newer one is not told an older one.
    pub(super) version: u64,
    pub(super) frame: SharedFrame,
}

impl Batch {
    pub(super) fn end(&self) -> Mark {
        self.frames.last().map_or(self.first, |(_, after)| *after)
    }

    /// The frames that a cursor has yet to pass.
    pub(super) fn after(&self, cursor: Mark) -> &[(SharedFrame, Mark)] {
        let passed = cursor.index.saturating_sub(self.first.index);
        usize::try_from(passed).ok().and_then(|passed| self.frames.get(passed..)).unwrap_or_default()
    }

    /// The notice, unless it is known already.
    pub(super) fn notice_after(&self, noticed: u64) -> Option<&Notice> {
        self.notice.as_ref().filter(|notice| notice.version > noticed)
    }

    /// Lets go of the frames: they belong to the tape, and here they would outlive it.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.timing.clear();
        self.notice = None;
    }
}
