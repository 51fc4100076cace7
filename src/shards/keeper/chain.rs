//! One stream's order as this pod knows it: every entry names its predecessor, and a link that does not fit is noticed.

use std::collections::VecDeque;

use crate::{
    domain::{PlantedFault, Position},
    hub::{Item, RECENT_COMMENTS},
    protocol::Entry,
    shards::backend::types::{HistorySlice, SliceRange},
};

/// The most live entries that are kept while the history is read. Beyond, they are dropped and it is read again.
const EARLY: usize = 256;

/// A stream's order on this pod: `Opening { early }` until the first read, then at `head`.
#[derive(Debug, Default)]
pub(in crate::shards) struct Chain {
    /// The place up to which viewers have everything; none before the first read.
    head: Option<Position>,
    /// What came while the history is being read.
    early: VecDeque<Entry>,
    /// How many of these came before the read under way began: it shows them, or they are of no history any more.
    covered: usize,
    /// The read under way.
    reading: Option<SliceRange>,
    /// Whether the order is known to be another one, and the whole of it has to be read.
    diverged: bool,
    /// Whether something came that the read under way may not show.
    again: bool,
}

/// What follows from an entry or a read.
#[derive(Debug, Default)]
pub(in crate::shards) struct Outcome {
    /// Where the stream opens, if it does now.
    pub(in crate::shards) opens_at: Option<Position>,
    /// What goes to the viewers.
    pub(in crate::shards) items: Vec<Item>,
    /// What has to be read next.
    pub(in crate::shards) read: Option<SliceRange>,
    /// Why something was wrong, for the counts.
    pub(in crate::shards) repair: Option<Repair>,
}

/// What was found wrong with a stream's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shards) enum Repair {
    /// Entries that did not come were read from the history.
    Filled,
    /// Entries that did not come are gone from the history too.
    Gap,
    /// The history is another one.
    Reset,
}

impl Chain {
    pub(in crate::shards) const fn head(&self) -> Option<Position> {
        self.head
    }

    /// Asks for a look at the history, unless one is under way.
    pub(in crate::shards) fn check(&mut self) -> Option<SliceRange> {
        if self.reading.is_some() {
            self.again = true;
            return None;
        }
        let span = match self.head {
            None => SliceRange { after_seq: 0, newest: newest_for_opening() },
            Some(_) if self.diverged => SliceRange::WHOLE,
            // From the newest known entry on, to see that it still is what it was.
            Some(head) => SliceRange { after_seq: head.seq.saturating_sub(1), newest: usize::MAX },
        };
        self.reading = Some(span);
        self.covered = self.early.len();
        Some(span)
    }

    /// The read under way failed. What came meanwhile is kept for the next one.
    pub(in crate::shards) fn failed(&mut self) {
        self.reading = None;
    }

    /// Takes an entry that came live.
    pub(in crate::shards) fn take(&mut self, entry: Entry) -> Outcome {
        if self.reading.is_some() || self.head.is_none() {
            self.keep(entry);
            let read = if self.reading.is_none() { self.check() } else { None };
            return Outcome { read, ..Outcome::default() };
        }
        let mut outcome = Outcome::default();
        if !self.link(&entry, &mut outcome.items) {
            self.keep(entry);
            outcome.read = self.check();
        }
        outcome
    }

    fn keep(&mut self, entry: Entry) {
        if self.early.len() == EARLY {
            // The history has them all; it is read once more when the present read is done.
            self.early.clear();
            self.covered = 0;
            self.again = true;
        }
        self.early.push_back(entry);
    }

    /// Appends the entry if it fits; false if something else should be here.
    fn link(&mut self, entry: &Entry, items: &mut Vec<Item>) -> bool {
        let Some(head) = self.head else { return false };
        let is_next = entry.before() == head
            || (PlantedFault::ChainTakesAnySuccessor.is_planted() && entry.seq > head.seq);
        if is_next {
            items.push(Item::comment(entry));
            self.head = Some(entry.position());
            return true;
        }
        // The newest entry once more, as after a reconnection, is harmless.
        entry.position() == head
    }

    /// Takes the history that was asked for.
    pub(in crate::shards) fn settle(&mut self, slice: &HistorySlice) -> Outcome {
        let span = self.reading.take().unwrap_or(SliceRange::WHOLE);
        self.early.drain(..std::mem::take(&mut self.covered));
        let mut outcome = Outcome::default();
        match self.head {
            None => self.open(slice, &mut outcome),
            Some(head) => self.compare(head, slice, span, &mut outcome),
        }
        if !self.diverged {
            self.link_early(&mut outcome);
        }
        if self.diverged || std::mem::take(&mut self.again) {
            outcome.read = self.check();
        }
        outcome
    }

    fn open(&mut self, slice: &HistorySlice, outcome: &mut Outcome) {
        outcome.opens_at = Some(slice.entries.first().map_or(slice.head, Entry::before));
        outcome.items = slice.entries.iter().map(Item::comment).collect();
        self.head = Some(slice.head);
    }

    fn compare(&mut self, head: Position, slice: &HistorySlice, span: SliceRange, outcome: &mut Outcome) {
        let first = slice.entries.first();
        let same = slice.holds(&head);
        if !same && span.after_seq > 0 {
            // This read began in the middle; viewers need all that the other history holds.
            self.diverged = true;
            return;
        }
        self.head = Some(slice.head);
        if same {
            self.append(head, slice, outcome);
        } else {
            let start = first.map_or(slice.head, Entry::before);
            if !PlantedFault::ChainHidesReset.is_planted() {
                outcome.items.push(Item::reset(start));
            }
            outcome.items.extend(slice.entries.iter().map(Item::history));
            outcome.repair = Some(Repair::Reset);
        }
        self.diverged = false;
    }

    fn append(&self, head: Position, slice: &HistorySlice, outcome: &mut Outcome) {
        let mut newer = slice.entries.iter().filter(|entry| entry.seq > head.seq).peekable();
        if let Some(first) = newer.peek() {
            outcome.repair = Some(Repair::Filled);
            if first.seq > head.seq + 1 && !PlantedFault::ChainHidesGap.is_planted() {
                outcome.items.push(Item::gap(head.seq + 1, first.before()));
                outcome.repair = Some(Repair::Gap);
            }
        } else if slice.head.seq > head.seq {
            outcome.items.push(Item::gap(head.seq + 1, slice.head));
            outcome.repair = Some(Repair::Gap);
        }
        outcome.items.extend(newer.map(Item::comment));
    }

    /// What came during the read: what it shows already is dropped, the rest must fit.
    fn link_early(&mut self, outcome: &mut Outcome) {
        while let Some(entry) = self.early.pop_front() {
            let shown = self.head.is_some_and(|head| entry.epoch == head.epoch && entry.seq <= head.seq);
            if shown && PlantedFault::ChainShowsTwice.is_planted() {
                outcome.items.push(Item::comment(&entry));
            }
            if !shown && !self.link(&entry, &mut outcome.items) {
                self.early.push_front(entry);
                self.again = true;
                return;
            }
        }
    }
}

fn newest_for_opening() -> usize {
    usize::try_from(RECENT_COMMENTS).unwrap_or(usize::MAX)
}
