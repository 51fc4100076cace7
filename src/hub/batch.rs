//! What is taken from a stream at once and written to its seats.

use super::{item::Slot, mark::Mark, timing::Timing};
use crate::{domain::Position, protocol::SharedFrame};

/// Some frames of a tape, and the newest notice, taken at once for many seats.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) first: Mark,
    /// The place before the first frame.
    pub(super) floor: Option<Position>,
    pub(super) frames: Vec<(SharedFrame, Mark)>,
    /// Whether it has everything that was on the tape when it was taken.
    pub(super) reaches_end: bool,
    /// The bytes of all frames in a row, for the seats at the first one; empty if they were not laid out.
    joined: Vec<u8>,
    pub(super) timing: Timing,
    pub(super) notice: Option<LatestNotice>,
}

/// The most bytes that are taken at once to be written; at least one frame is.
const BATCH_BYTES: usize = 64 * 1024;
/// From so many seats on the frames that go to them are laid into one buffer: one slice is written for many.
const JOIN_FOR_SEATS: usize = 4;
/// The largest buffer that is kept from one flush to the next.
const KEEP_BYTES: usize = 64 * 1024;

/// The newest value of something that is told to all and not part of the order. Only the newest counts.
#[derive(Debug, Clone)]
pub(super) struct LatestNotice {
    /// From 1 on, and ever greater: a seat that has a newer one is not told an older one.
    pub(super) version: u64,
    pub(super) frame: SharedFrame,
}

impl Batch {
    pub(super) fn nothing_after(first: Mark) -> Self {
        Self { first, ..Self::default() }
    }

    /// Takes frames, as far as they fit.
    pub(super) fn fill<'a>(&mut self, slots: impl Iterator<Item = &'a Slot> + Clone) {
        let mut bytes = 0;
        for slot in slots.clone() {
            let frame = slot.item.frame();
            bytes += frame.bytes().len();
            if bytes > BATCH_BYTES && !self.frames.is_empty() {
                break;
            }
            self.frames.push((frame.clone(), slot.after));
        }
        let taken = slots.take(self.frames.len());
        self.timing.take(taken.map(|slot| slot.item.live.clone().map(|live| (slot.came, live))));
    }

    pub(super) fn end(&self) -> Mark {
        self.frames.last().map_or(self.first, |(_, after)| *after)
    }

    /// The frames that a cursor has yet to pass.
    pub(super) fn after(&self, cursor: Mark) -> &[(SharedFrame, Mark)] {
        let passed = cursor.index.saturating_sub(self.first.index);
        usize::try_from(passed).ok().and_then(|passed| self.frames.get(passed..)).unwrap_or_default()
    }

    /// Lays the frames into one buffer, if that pays for so many seats.
    pub(super) fn join_for(&mut self, seats: usize) {
        if self.frames.len() > 1 && seats >= JOIN_FOR_SEATS {
            self.frames.iter().for_each(|(frame, _)| self.joined.extend_from_slice(frame.bytes()));
        }
    }

    /// All frames in one slice, for a cursor that has yet to pass all of them; none if they were not laid out.
    pub(super) fn joined_after(&self, cursor: Mark) -> Option<&[u8]> {
        (cursor.index == self.first.index && !self.joined.is_empty()).then_some(&self.joined)
    }

    /// The notice, unless it is known already.
    pub(super) fn notice_after(&self, noticed: u64) -> Option<&LatestNotice> {
        self.notice.as_ref().filter(|notice| notice.version > noticed)
    }

    /// Lets go of the frames: they belong to the tape, and here they would outlive it.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.joined.clear();
        self.joined.shrink_to(KEEP_BYTES);
        self.timing.clear();
        self.notice = None;
    }
}
