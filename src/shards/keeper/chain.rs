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
        let same = if slice.head.epoch != head.epoch || slice.head.seq < head.seq {
            false
        } else if let Some(known) = slice.entries.iter().find(|entry| entry.seq == head.seq) {
            known.position() == head
        } else if let Some(next) = first.filter(|entry| entry.seq == head.seq + 1) {
            next.before() == head
        } else {
            first.is_some() || slice.head == head
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{EntryId, Epoch},
        protocol::Fragment,
    };

    /// A history to take entries and windows from.
    struct History {
        entries: Vec<Entry>,
        epoch: Epoch,
    }

    impl History {
        fn new(entries: u64) -> Self {
            let mut history = Self { entries: Vec::new(), epoch: Epoch::random() };
            (0..entries).for_each(|_| drop(history.post()));
            history
        }

        fn post(&mut self) -> Entry {
            let entry = Entry {
                ring_epoch: 1,
                epoch: self.epoch,
                seq: self.entries.len() as u64 + 1,
                id: EntryId::random(),
                previous: self.entries.last().map(|entry| entry.id),
                at_ms: 0,
                accepted_at_ms: 0,
                priority: false,
                trace: None,
                fragment: Fragment::default(),
            };
            self.entries.push(entry.clone());
            entry
        }

        fn head(&self) -> Position {
            self.entries.last().map_or(Position::start_of(self.epoch), Entry::position)
        }

        /// What a read shows of a history that keeps the entries after `trimmed`.
        fn slice(&self, span: SliceRange, trimmed: u64) -> HistorySlice {
            let shown = |entry: &&Entry| entry.seq > span.after_seq.max(trimmed);
            HistorySlice { head: self.head(), entries: self.entries.iter().filter(shown).cloned().collect() }
        }

        fn opened(&self) -> Chain {
            let mut chain = Chain::default();
            let span = chain.check().unwrap();
            chain.settle(&self.slice(span, 0));
            assert_eq!(chain.head(), Some(self.head()));
            chain
        }
    }

    fn kinds(outcome: &Outcome) -> Vec<&'static str> {
        outcome.items.iter().map(Item::kind).collect()
    }

    #[test]
    fn entries_that_fit_go_out_and_repeated_ones_do_not() {
        let mut history = History::new(3);
        let mut chain = history.opened();
        let next = history.post();
        assert_eq!(kinds(&chain.take(next.clone())), ["comment"]);
        let again = chain.take(next);
        assert!(again.items.is_empty() && again.read.is_none());
    }

    /// S2: what is posted between the subscription and the read is shown once.
    #[test]
    fn what_comes_while_the_stream_opens_is_shown_once() {
        let mut history = History::new(2);
        let mut chain = Chain::default();
        let span = chain.check().unwrap();
        let (third, slice) = (history.post(), history.slice(span, 0));
        let fourth = history.post();
        assert!(chain.take(third).items.is_empty());
        assert!(chain.take(fourth).items.is_empty());
        let outcome = chain.settle(&slice);
        assert_eq!(outcome.opens_at, Some(Position::start_of(history.epoch)));
        assert_eq!(outcome.items.len(), 4);
        assert!(outcome.read.is_none());
        assert_eq!(chain.head(), Some(history.head()));
    }

    /// G2: a hole is filled from history, in order.
    #[test]
    fn g2_a_hole_is_filled() {
        let mut history = History::new(2);
        let mut chain = history.opened();
        history.post();
        history.post();
        let fifth = history.post();
        let asked = chain.take(fifth);
        assert!(asked.items.is_empty());
        let outcome = chain.settle(&history.slice(asked.read.unwrap(), 0));
        assert_eq!((kinds(&outcome).len(), outcome.repair), (3, Some(Repair::Filled)));
        assert_eq!(chain.head(), Some(history.head()));
    }

    #[test]
    fn a_hole_that_is_trimmed_is_a_gap() {
        let mut history = History::new(2);
        let mut chain = history.opened();
        (0..10).for_each(|_| drop(history.post()));
        let span = chain.check().unwrap();
        let outcome = chain.settle(&history.slice(span, 8));
        assert_eq!(kinds(&outcome), ["gap", "comment", "comment", "comment", "comment"]);
        assert_eq!(outcome.repair, Some(Repair::Gap));
    }

    /// G4: another epoch, a shorter history, or the same number under another id is a reset with all that it holds.
    #[test]
    fn g4_another_history_is_a_reset() {
        let history = History::new(5);
        let mut reused = History { entries: history.entries[..3].to_vec(), epoch: history.epoch };
        reused.post();
        reused.post();
        reused.post();
        let shorter = History { entries: history.entries[..3].to_vec(), epoch: history.epoch };
        for (other, name) in
            [(History::new(2), "epoch"), (reused, "reused"), (shorter, "shorter"), (History::new(0), "empty")]
        {
            let mut chain = history.opened();
            let span = chain.check().unwrap();
            let asked = chain.settle(&other.slice(span, 0));
            assert!(asked.items.is_empty(), "{name}");
            assert_eq!(asked.read, Some(SliceRange::WHOLE), "{name}");
            let outcome = chain.settle(&other.slice(SliceRange::WHOLE, 0));
            assert_eq!(outcome.repair, Some(Repair::Reset), "{name}");
            assert_eq!(outcome.items.len(), 1 + other.entries.len(), "{name}");
            assert_eq!(chain.head(), Some(other.head()), "{name}");
            assert!(outcome.read.is_none(), "{name}");
        }
    }

    #[test]
    fn a_message_of_a_history_that_is_gone_does_not_stir_for_ever() {
        let mut old = History::new(3);
        let mut chain = old.opened();
        let last_words = old.post();
        let new = History::new(1);
        assert!(chain.take(last_words.clone()).read.is_none(), "it still fits");
        let span = chain.check().unwrap();
        chain.settle(&new.slice(span, 0));
        chain.settle(&new.slice(SliceRange::WHOLE, 0));
        let stale = chain.take(last_words);
        let outcome = chain.settle(&new.slice(stale.read.unwrap(), 0));
        assert!(outcome.read.is_none() && outcome.items.is_empty());
    }

    #[test]
    fn more_than_can_be_kept_is_read_again() {
        let mut history = History::new(0);
        let mut chain = Chain::default();
        let span = chain.check().unwrap();
        let early = history.slice(span, 0);
        for _ in 0..1_000 {
            let entry = history.post();
            chain.take(entry);
        }
        let mut read = chain.settle(&early).read;
        for _ in 0..5 {
            let Some(span) = read else { break };
            read = chain.settle(&history.slice(span, 0)).read;
        }
        assert_eq!((chain.head(), read), (Some(history.head()), None));
    }
}
