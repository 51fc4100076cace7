//! The order of one stream as a pod knows it, on histories that a test makes.

use crate::{
    domain::{EntryId, Epoch, Position, Timeline},
    hub::Item,
    protocol::{Entry, Fragment},
    shards::{
        backend::types::{FormerTimeline, HistorySlice, SliceRange},
        keeper::chain::{Chain, Outcome, Repair},
    },
};

/// A history to take entries and windows from.
struct History {
    entries: Vec<Entry>,
    epoch: Epoch,
    timeline: Option<Timeline>,
    former: Vec<FormerTimeline>,
}

impl History {
    fn new(entries: u64) -> Self {
        let (epoch, timeline, former) = (Epoch::random(), None, Vec::new());
        let mut history = Self { entries: Vec::new(), epoch, timeline, former };
        (0..entries).for_each(|_| drop(history.post()));
        history
    }

    /// What another process makes of the entries up to a number.
    fn branch(&self, end: u64) -> Self {
        let entries = self.entries.iter().filter(|entry| entry.seq <= end).cloned().collect();
        let mut former = self.former.clone();
        former.push(FormerTimeline { timeline: self.timeline, end });
        Self { entries, epoch: self.epoch, timeline: Some(Timeline::random()), former }
    }

    fn post(&mut self) -> Entry {
        let entry = Entry {
            ring_epoch: 1,
            epoch: self.epoch,
            seq: self.entries.len() as u64 + 1,
            id: EntryId::random(),
            previous: self.entries.last().map(|entry| entry.id),
            timeline: self.timeline,
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
        let entries = self.entries.iter().filter(shown).cloned().collect();
        HistorySlice { head: self.head().on(self.timeline), former: self.former.clone(), entries }
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
    let mut reused = history.branch(3);
    (0..3).for_each(|_| drop(reused.post()));
    let shorter = history.branch(3);
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

/// G4: where the entries that would tell are trimmed, the timeline tells.
#[test]
fn g4_a_lost_place_whose_number_is_used_again_and_trimmed_is_a_reset() {
    let history = History::new(5);
    for (end, repair, kinds_then) in
        [(3, Repair::Reset, ["reset", "comment", "comment"]), (5, Repair::Gap, ["gap", "comment", "comment"])]
    {
        let mut branch = history.branch(end);
        (end..22).for_each(|_| drop(branch.post()));
        let mut chain = history.opened();
        let span = chain.check().unwrap();
        let mut outcome = chain.settle(&branch.slice(span, 20));
        if let Some(whole) = outcome.read {
            outcome = chain.settle(&branch.slice(whole, 20));
        }
        assert_eq!((outcome.repair, kinds(&outcome)), (Some(repair), kinds_then.to_vec()), "{end}");
        assert_eq!(chain.head(), Some(branch.head()));
    }
}

#[test]
fn another_timeline_that_goes_on_from_here_is_no_news() {
    let history = History::new(3);
    let mut chain = history.opened();
    let mut branch = history.branch(3);
    let outcome = chain.take(branch.post());
    assert_eq!((kinds(&outcome), outcome.read), (vec!["comment"], None));
    assert_eq!(chain.head(), Some(branch.head()));
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
