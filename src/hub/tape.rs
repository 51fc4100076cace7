//! A stream's bounded ring of frames, and places on it.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{
    batch::Batch,
    item::{Content, Item, Slot},
    mark::Mark,
    retained::Retained,
    views::TapeView,
};
use crate::{
    domain::{PlantedFault, Position},
    protocol::{Page, SharedFrame},
};

/// How many comments a newcomer is shown; the tape keeps at least these.
pub const RECENT_COMMENTS: u64 = 50;
/// The most frames a tape holds. With their bookkeeping they cost about 300 KB, besides the frames' own bytes.
const MAX_FRAMES: usize = 2_048;
/// The most bytes of frames that a tape holds beyond the recent comments.
const MAX_BYTES: usize = 1024 * 1024;
/// How long a frame stays on the tape beyond the recent comments.
const MAX_AGE: Duration = Duration::from_secs(15);

/// Where a viewer's position lies, seen from the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Located {
    /// On the tape: everything after it is here.
    Here(Mark),
    /// In the same history, before the tape begins.
    Older,
    /// In another history, or a place that this one never had.
    Elsewhere,
}

impl Mark {
    fn past(self, item: &Item) -> Self {
        let mut past = Self { index: self.index + 1, ..self };
        match &item.content {
            Content::Comment { priority, .. } => {
                past.comments += 1;
                past.priority += u64::from(*priority);
            }
            Content::Gap { width, .. } => past.missing += width,
            Content::Reset { .. } => past.resets += 1,
        }
        past
    }
}

/// A stream's bounded ring of items. When it is full, the oldest give way; priority entries among them are kept for a
/// while longer, for viewers who are behind.
pub(super) struct Tape {
    kept: Retained,
    /// Without a hole, unlike the kept ones before it.
    slots: VecDeque<Slot>,
    first: Mark,
    next: Mark,
    /// The place before the oldest item.
    floor: Position,
    /// The place after the newest item.
    head: Position,
    bytes: usize,
}

impl Tape {
    /// An empty tape that begins at a place in the stream's order.
    pub(super) fn new(floor: Position) -> Self {
        let (first, next) = (Mark::ZERO, Mark::ZERO);
        let (kept, slots) = (Retained::new(), VecDeque::new());
        Self { kept, slots, first, next, floor, head: floor, bytes: 0 }
    }

    pub(super) const fn next(&self) -> Mark {
        self.next
    }

    pub(super) const fn head(&self) -> Position {
        self.head
    }

    /// What the tape holds, for a person who asks.
    pub(super) fn view(&self, now: Instant) -> TapeView {
        TapeView {
            frames: self.slots.len(),
            bytes: self.bytes,
            next: self.next,
            floor: self.floor,
            head: self.head,
            newest_ago: self.slots.back().map(|newest| now.saturating_duration_since(newest.came)),
        }
    }

    pub(super) fn push(&mut self, item: Item, now: Instant) {
        self.bytes += item.frame().bytes().len();
        self.next = self.next.past(&item);
        self.head = item.position;
        self.slots.push_back(Slot { item, after: self.next, came: now });
        while self.is_over_full(now) {
            self.evict();
        }
        self.kept.trim(now);
    }

    fn is_over_full(&self, now: Instant) -> bool {
        let Some(oldest) = self.slots.front() else { return false };
        let spare = self.next.comments - oldest.after.comments >= RECENT_COMMENTS;
        let old = now.saturating_duration_since(oldest.came) > MAX_AGE;
        self.slots.len() > MAX_FRAMES || (spare && (old || self.bytes > MAX_BYTES))
    }

    fn evict(&mut self) {
        if let Some(slot) = self.slots.pop_front() {
            self.bytes -= slot.item.frame().bytes().len();
            let before = (self.first, self.floor);
            (self.first, self.floor) = (slot.after, slot.item.position);
            if slot.item.is_priority() {
                self.kept.push(slot, before);
            }
        }
    }

    /// Up to `most` frames from a place on; from the oldest one, if the place fell off the tape. They are without a hole:
    /// a batch of kept entries ends where something between them is gone.
    pub(super) fn batch(&self, from: Mark, most: usize, into: &mut Batch) {
        self.take(from, 0, most, into);
    }

    /// The same for a viewer that is behind. If its place fell off the tape, or the frame there came before `stale`, it
    /// goes on at the newest comments: `skip_to` becomes the index where they begin. Up to that index a batch holds
    /// only priority entries.
    pub(super) fn batch_behind(
        &self,
        (from, stale): (Mark, Option<Instant>),
        skip_to: &mut u64,
        most: usize,
        into: &mut Batch,
    ) {
        let is_stale = |slot: &Slot| stale.is_some_and(|stale| slot.came < stale);
        if from.index < self.first.index || self.slots.get(self.slot_at(from.index)).is_some_and(is_stale) {
            *skip_to = self.mark_before(self.newest()).index;
        }
        self.take(from, *skip_to, most, into);
    }

    fn take(&self, from: Mark, skip_to: u64, most: usize, into: &mut Batch) {
        into.frames.clear();
        if let Some((before, run)) = self.kept.run_after(from) {
            (into.first, into.floor) = (before.0, Some(before.1));
            into.fill(run.take(most));
        } else {
            let (start, end) = (self.slot_at(from.index), self.slot_at(skip_to));
            let priority = (start..end).find(|slot| self.slots[*slot].item.is_priority());
            let slot = priority.unwrap_or(start.max(end));
            into.first =
                if slot == start && from.index >= self.first.index { from } else { self.mark_before(slot) };
            into.floor = Some(self.position_at(slot));
            if priority.is_some() {
                let run = self.slots.range(slot..end).take_while(|slot| slot.item.is_priority());
                into.fill(run.take(most));
            } else {
                into.fill(self.slots.range(slot..).take(most));
            }
        }
        into.reaches_end = into.end() == self.next;
    }

    fn slot_at(&self, index: u64) -> usize {
        let offset = index.saturating_sub(self.first.index);
        usize::try_from(offset).unwrap_or(usize::MAX).min(self.slots.len())
    }

    fn mark_before(&self, slot: usize) -> Mark {
        slot.checked_sub(1)
            .and_then(|before| self.slots.get(before))
            .map_or(self.first, |before| before.after)
    }

    /// The place in the stream's order before a slot.
    fn position_at(&self, slot: usize) -> Position {
        slot.checked_sub(1)
            .and_then(|before| self.slots.get(before))
            .map_or(self.floor, |before| before.item.position)
    }

    /// The place in the stream's order that a mark stands for.
    pub(super) fn position(&self, mark: Mark) -> Position {
        self.position_at(self.slot_at(mark.index))
    }

    /// Where the newest comments of the present history begin.
    pub(super) fn recent(&self) -> Mark {
        self.mark_before(self.newest().max(self.present()))
    }

    /// The slot where the newest comments begin, of whichever history.
    fn newest(&self) -> usize {
        let enough = self.next.comments.saturating_sub(RECENT_COMMENTS);
        self.slots.partition_point(|slot| slot.after.comments <= enough)
    }

    /// The slot that the present history begins with: the one after the last reset.
    fn present(&self) -> usize {
        self.slots.partition_point(|slot| slot.after.resets < self.next.resets)
            + usize::from(self.next.resets > self.first.resets)
    }

    pub(super) fn locate(&self, position: &Position) -> Located {
        if position.epoch != self.head.epoch || position.seq > self.head.seq {
            return Located::Elsewhere;
        }
        let present = self.present();
        // A storm of resumes asks this under the stream's lock: numbers ascend within a history, so halve.
        let newer = self.slots.partition_point(|slot| {
            slot.after.resets < self.next.resets || slot.item.position.seq <= position.seq
        });
        let slot = newer.max(present);
        let here = self.position_at(slot);
        let is_gap = |slot: &Slot| {
            // On another timeline the place may be one of those that were lost: the shard knows.
            let is_timeline = slot.item.position.timeline == position.timeline;
            matches!(slot.item.content, Content::Gap { .. }) && is_timeline
        };
        if position.seq == here.seq {
            let is_same = here.id == position.id || PlantedFault::TapeIgnoresIds.is_planted();
            if is_same { Located::Here(self.mark_before(slot)) } else { Located::Elsewhere }
        } else if position.seq > here.seq && self.slots.get(slot).is_some_and(is_gap) {
            // The viewer has some of what this pod could not get; nobody here can say more than that.
            Located::Here(self.mark_before(slot))
        } else {
            Located::Older
        }
    }

    /// The items from a place on as a joiner reads them: comments in one page, as many as fit, or one other frame.
    /// Returns the frame and the place after it; none at the tape's end, and none for a place that fell off the tape:
    /// a page from the oldest item on would hide what is missing in between.
    pub(super) fn history(&self, from: Mark) -> Option<(SharedFrame, Mark)> {
        if from.index < self.first.index {
            return None;
        }
        let start = self.slot_at(from.index);
        let mut page = Page::default();
        let mut end = None;
        for Slot { item, after, .. } in self.slots.range(start..) {
            match &item.content {
                Content::Comment { comment, .. } if page.push_live(comment, item.position) => {
                    end = Some(*after);
                }
                Content::Comment { .. } => break,
                Content::Gap { frame, .. } | Content::Reset { frame } if page.comments() == 0 => {
                    return Some((frame.clone(), *after));
                }
                Content::Gap { .. } | Content::Reset { .. } => break,
            }
        }
        page.finish().zip(end)
    }
}
