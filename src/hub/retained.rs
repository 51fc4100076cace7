//! Priority entries that the tape has given up, for viewers who have not had them.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{item::Slot, mark::Mark};
use crate::domain::Position;

/// The most entries that are kept.
pub(super) const KEPT_ENTRIES: usize = 512;
/// The most bytes of their frames.
const KEPT_BYTES: usize = 256 * 1024;
/// How long after it came an entry is kept.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(60);

/// A place on the tape, as a mark and in the stream's order.
pub(super) type TapePlace = (Mark, Position);

/// Priority entries from before the tape's oldest one, in order, with holes between them.
///
/// Bounded by number, bytes and age. When it is full the oldest goes; a viewer who has not had that is closed, and
/// resumes from the history.
pub(super) struct Retained {
    entries: VecDeque<RetainedEntry>,
    bytes: usize,
}

struct RetainedEntry {
    before: TapePlace,
    slot: Slot,
}

impl Retained {
    pub(super) const fn new() -> Self {
        Self { entries: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn push(&mut self, slot: Slot, before: TapePlace) {
        self.bytes += slot.item.frame().bytes().len();
        self.entries.push_back(RetainedEntry { before, slot });
    }

    pub(super) fn trim(&mut self, now: Instant) {
        while let Some(RetainedEntry { slot, .. }) = self.entries.front() {
            let is_old = now.saturating_duration_since(slot.came) > KEPT_FOR;
            if self.entries.len() <= KEPT_ENTRIES && self.bytes <= KEPT_BYTES && !is_old {
                return;
            }
            self.bytes -= slot.item.frame().bytes().len();
            self.entries.pop_front();
        }
    }

    /// The oldest entry that a place comes before, and those that follow it without a hole; and the place before it.
    pub(super) fn run_after(&self, from: Mark) -> Option<(TapePlace, impl Iterator<Item = &Slot> + Clone)> {
        let start = self.entries.partition_point(|entry| entry.slot.after.index <= from.index);
        let before = self.entries.get(start)?.before;
        let mut next = before.0.index;
        let run = self.entries.range(start..).map_while(move |entry| {
            let follows = entry.before.0.index == next;
            next = entry.slot.after.index;
            follows.then_some(&entry.slot)
        });
        Some((before, run))
    }
}
