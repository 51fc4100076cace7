//! A stream's bounded ring of frames, and places on it.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{batch::Batch, explain::TapeView};
use crate::{
    domain::Position,
    protocol::{self, Entry, LiveComment, Page, SharedFrame},
};

/// How many comments a newcomer is shown; the tape keeps at least these.
pub const RECENT_COMMENTS: u64 = 50;
/// The most frames a tape holds. With their bookkeeping they cost about 300 KB, besides the frames' own bytes.
const MAX_FRAMES: usize = 2_048;
/// The most bytes of frames that a tape holds beyond the recent comments.
const MAX_BYTES: usize = 1024 * 1024;
/// How long a frame stays on the tape beyond the recent comments. A viewer that accepts no byte for 10 s is closed.
const MAX_AGE: Duration = Duration::from_secs(15);

/// One thing that goes to every viewer of a stream, in order.
#[derive(Debug, Clone)]
pub struct Item {
    content: Content,
    position: Position,
    live: Option<Live>,
}

/// What is measured of a comment that was just posted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live {
    accepted_at_ms: u64,
    /// How old it was when it came to this pod.
    pub(super) age: Duration,
    pub(super) priority: bool,
}

#[derive(Debug, Clone)]
enum Content {
    Comment(LiveComment),
    Gap { frame: SharedFrame, width: u64 },
    Reset { frame: SharedFrame },
}

impl Item {
    /// A comment that was just posted.
    #[must_use]
    pub fn comment(entry: &Entry) -> Self {
        let Entry { accepted_at_ms, priority, .. } = *entry;
        let live = Some(Live { accepted_at_ms, age: Duration::ZERO, priority });
        Self { content: Content::Comment(protocol::comment(entry, false)), position: entry.position(), live }
    }

    /// A comment that follows a reset.
    #[must_use]
    pub fn history(entry: &Entry) -> Self {
        let content = Content::Comment(protocol::comment(entry, true));
        Self { content, position: entry.position(), live: None }
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
        self.live.map(|live| live.accepted_at_ms)
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
            Content::Comment(_) => "comment",
            Content::Gap { .. } => "gap",
            Content::Reset { .. } => "reset",
        }
    }

    fn frame(&self) -> &SharedFrame {
        match &self.content {
            Content::Comment(comment) => &comment.frame,
            Content::Gap { frame, .. } | Content::Reset { frame } => frame,
        }
    }
}

/// A place on a tape. The sums let a seat that fell off the tape know what it missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// How many items came before it.
    pub(super) index: u64,
    /// How many comments came before it.
    pub(super) comments: u64,
    /// How many entries that could not be recovered came before it.
    pub(super) missing: u64,
    /// How many resets came before it.
    pub(super) resets: u64,
}

impl Mark {
    pub(super) const ZERO: Self = Self { index: 0, comments: 0, missing: 0, resets: 0 };

    /// How many entries came before it, those that could not be recovered among them.
    pub(super) const fn passed(self) -> u64 {
        self.comments + self.missing
    }

    fn past(self, item: &Item) -> Self {
        let mut past = Self { index: self.index + 1, ..self };
        match &item.content {
            Content::Comment(_) => past.comments += 1,
            Content::Gap { width, .. } => past.missing += width,
            Content::Reset { .. } => past.resets += 1,
        }
        past
    }
}

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

struct Slot {
    item: Item,
    after: Mark,
    came: Instant,
}

/// A stream's bounded ring of items. When it is full, the oldest give way.
pub(super) struct Tape {
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
    pub(super) const fn new(floor: Position) -> Self {
        let (first, next) = (Mark::ZERO, Mark::ZERO);
        Self { slots: VecDeque::new(), first, next, floor, head: floor, bytes: 0 }
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
    }

    fn is_over_full(&self, now: Instant) -> bool {
        let Some(oldest) = self.slots.front() else { return false };
        let spare = self.next.comments - oldest.after.comments >= RECENT_COMMENTS;
        let old = now.saturating_duration_since(oldest.came) > MAX_AGE;
        self.slots.len() > MAX_FRAMES || (spare && (old || self.bytes > MAX_BYTES))
    }

    fn evict(&mut self) {
        if let Some(Slot { item, after, .. }) = self.slots.pop_front() {
            self.bytes -= item.frame().bytes().len();
            self.first = after;
            self.floor = item.position;
        }
    }

    /// Up to `most` frames from a place on; from the oldest one, if the place fell off the tape.
    pub(super) fn batch(&self, from: Mark, most: usize, into: &mut Batch) {
        let start = self.slot_at(from);
        into.first = if from.index < self.first.index { self.first } else { from };
        into.floor = Some(self.position_at(start));
        into.frames.clear();
        let slots = self.slots.range(start..).take(most);
        into.frames.extend(slots.clone().map(|slot| (slot.item.frame().clone(), slot.after)));
        into.timing.take(slots.map(|slot| slot.item.live.map(|live| (slot.came, live))));
    }

    fn slot_at(&self, mark: Mark) -> usize {
        let offset = mark.index.saturating_sub(self.first.index);
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
        self.position_at(self.slot_at(mark))
    }

    /// Where the newest comments of the present history begin.
    pub(super) fn recent(&self) -> Mark {
        let enough = self.next.comments.saturating_sub(RECENT_COMMENTS);
        let slot = self.slots.partition_point(|slot| slot.after.comments <= enough);
        self.mark_before(slot.max(self.present()))
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
        let is_gap = |slot: &Slot| matches!(slot.item.content, Content::Gap { .. });
        if position.seq == here.seq {
            if here.id == position.id { Located::Here(self.mark_before(slot)) } else { Located::Elsewhere }
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
        let start = self.slot_at(from);
        let mut page = Page::default();
        let mut end = None;
        for Slot { item, after, .. } in self.slots.range(start..) {
            match &item.content {
                Content::Comment(comment) if page.push_live(comment, item.position) => end = Some(*after),
                Content::Comment(_) => break,
                Content::Gap { frame, .. } | Content::Reset { frame } if page.comments() == 0 => {
                    return Some((frame.clone(), *after));
                }
                Content::Gap { .. } | Content::Reset { .. } => break,
            }
        }
        page.finish().zip(end)
    }
}
