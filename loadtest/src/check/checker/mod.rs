//! One viewer's account: whether it saw every entry of its stream once, in order, or was told what it missed.
//!
//! The account is a range of seqs with holes, so that it costs the same for ten entries and ten million.

use serde::{Deserialize, Serialize};

use crate::{
    check::{
        ledger::{Closed, Content, Fit, Ledger},
        tally::Tally,
    },
    protocol::{
        mark::Mark,
        scan::{Entry, Frame, Kind, Malformed},
    },
};

/// The epoch in a position: what stands before its first dot. The only place that looks into a position.
fn epoch_of(position: &[u8]) -> &[u8] {
    position.split(|byte| *byte == b'.').next().unwrap_or_default()
}

/// What the server has announced as left out since the last entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Announced {
    Nothing,
    Comments(u64),
    /// `gap`: however many.
    Any,
}

impl Announced {
    /// How many of this many missing entries were announced.
    fn covers(self, missing: u64) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Comments(count) => count.min(missing),
            Self::Any => missing,
        }
    }
}

/// Missing seqs, both ends included.
#[derive(Debug)]
struct Hole {
    from: u64,
    to: u64,
    announced: u64,
    by_skip: bool,
}

/// The part of a viewer's account that lies in one epoch.
#[derive(Debug)]
struct Segment {
    epoch: Option<usize>,
    /// First seq seen, and the one after the last.
    range: Option<(u64, u64)>,
    holes: Vec<Hole>,
    since_us: u64,
}

/// Where a seq falls in a segment.
enum Place {
    Next,
    /// Behind, in a hole.
    Late,
    Again,
}

impl Segment {
    fn new(epoch: Option<usize>, since_us: u64) -> Self {
        Self { epoch, range: None, holes: Vec::new(), since_us }
    }

    fn take(&mut self, seq: u64, announced: Announced) -> Place {
        match self.range {
            None => {
                self.range = Some((seq, seq + 1));
                Place::Next
            }
            Some((first, next)) if seq >= next => {
                if seq > next {
                    let announced_here = announced.covers(seq - next);
                    let by_skip = matches!(announced, Announced::Comments(_));
                    self.holes.push(Hole { from: next, to: seq - 1, announced: announced_here, by_skip });
                }
                self.range = Some((first, seq + 1));
                Place::Next
            }
            Some((first, next)) if seq < first => {
                if seq + 1 < first {
                    self.holes.push(Hole { from: seq + 1, to: first - 1, announced: 0, by_skip: false });
                }
                self.range = Some((seq, next));
                Place::Late
            }
            Some(_) => self.fill(seq),
        }
    }

    fn fill(&mut self, seq: u64) -> Place {
        let Some(index) = self.holes.iter().position(|hole| (hole.from..=hole.to).contains(&seq)) else {
            return Place::Again;
        };
        let hole = self.holes.swap_remove(index);
        let mut announced = hole.announced;
        for (from, to) in [(hole.from, seq.saturating_sub(1)), (seq + 1, hole.to)] {
            if from <= to && seq != 0 {
                let here = announced.min(to - from + 1);
                announced -= here;
                self.holes.push(Hole { from, to, announced: here, by_skip: hole.by_skip });
            }
        }
        Place::Late
    }
}

/// Whether a viewer was there until the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stay {
    ToTheEnd,
    /// It is owed nothing after its last entry.
    Left,
}

/// What a viewer should have seen, and what it missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Balance {
    pub(crate) expected: u64,
    /// Missing without a word.
    pub(crate) lost: u64,
    /// Missing, and announced by `skipped` or `gap`.
    pub(crate) signalled: u64,
    /// Gifts among what `skipped` announced: those may not be left out.
    pub(crate) gifts_skipped: u64,
}

impl Balance {
    pub(crate) fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.lost += other.lost;
        self.signalled += other.signalled;
        self.gifts_skipped += other.gifts_skipped;
    }
}

/// The account of one viewer over all its connections.
pub(crate) struct Checker {
    run: u32,
    stream: u32,
    past: Vec<Segment>,
    current: Segment,
    announced: Announced,
    delivered: u64,
    /// It was there before the first post, so that nothing may be missing at the front.
    from_start: bool,
}

impl Checker {
    pub(crate) fn new(run: u32, stream: u32) -> Self {
        let current = Segment::new(None, 0);
        let announced = Announced::Nothing;
        Self { run, stream, past: Vec::new(), current, announced, delivered: 0, from_start: true }
    }

    /// The viewer joined when posting had already begun.
    pub(crate) fn joined_late(&mut self, now_us: u64) {
        self.from_start = false;
        self.current.since_us = now_us;
    }

    /// Enters an ordered frame.
    pub(crate) fn ordered(
        &mut self,
        frame: &Frame<'_>,
        entries: &[Entry],
        ledger: &mut Ledger,
        (tally, now_us): (&mut Tally, u64),
    ) -> Result<(), Malformed> {
        let epoch = epoch_of(frame.position.ok_or(Malformed)?);
        match frame.kind {
            Kind::Comments => {
                self.enter_epoch(epoch, ledger, (tally, now_us))?;
                for entry in entries {
                    self.entry(entry, frame, ledger, (tally, now_us));
                }
            }
            Kind::Removed | Kind::State => {
                self.enter_epoch(epoch, ledger, (tally, now_us))?;
                self.place(frame.seq.ok_or(Malformed)?, (Content::Bare, 0), ledger, tally);
            }
            Kind::Skipped => {
                tally.counts.skips += 1;
                let more = frame.count.ok_or(Malformed)?;
                self.announced = match self.announced {
                    Announced::Nothing => Announced::Comments(more),
                    Announced::Comments(count) => Announced::Comments(count.saturating_add(more)),
                    Announced::Any => Announced::Any,
                };
            }
            Kind::Gap => {
                tally.counts.gaps += 1;
                self.announced = Announced::Any;
            }
            Kind::Reset => {
                tally.counts.resets += 1;
                let known = ledger.epoch(epoch).ok_or(Malformed)?;
                self.announced = Announced::Any;
                if self.current.epoch != Some(known) {
                    self.turn(known, now_us);
                }
            }
            _ => return Err(Malformed),
        }
        Ok(())
    }

    fn turn(&mut self, epoch: usize, now_us: u64) {
        let before = std::mem::replace(&mut self.current, Segment::new(Some(epoch), now_us));
        self.past.push(before);
        self.announced = Announced::Nothing;
    }

    fn enter_epoch(
        &mut self,
        name: &[u8],
        ledger: &mut Ledger,
        (tally, now_us): (&mut Tally, u64),
    ) -> Result<(), Malformed> {
        match self.current.epoch {
            Some(epoch) if ledger.is_epoch(epoch, name) => {}
            Some(_) => {
                let epoch = ledger.epoch(name).ok_or(Malformed)?;
                tally.counts.silent_resets += 1;
                self.turn(epoch, now_us);
            }
            None => self.current.epoch = Some(ledger.epoch(name).ok_or(Malformed)?),
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &Entry,
        frame: &Frame<'_>,
        ledger: &mut Ledger,
        (tally, now_us): (&mut Tally, u64),
    ) {
        let ours =
            |mark: &Mark| mark.run == self.run && mark.stream == self.stream && ledger.is_ours(mark.post);
        let mark = entry.mark.filter(ours);
        let content = match mark {
            Some(mark) => Content::Post(mark.post),
            None if entry.removed => Content::Bare,
            None => Content::Foreign,
        };
        if content == Content::Foreign {
            tally.counts.foreign += 1;
        }
        if !self.place(entry.seq, (content, entry.digest), ledger, tally) {
            return;
        }
        match mark {
            _ if frame.history => tally.counts.replayed += 1,
            Some(mark) => tally.delivery.record(now_us.saturating_sub(mark.due_us)),
            None => {}
        }
    }

    /// Enters one place of the order; whether the viewer had not seen it before.
    fn place(
        &mut self,
        seq: u64,
        (content, digest): (Content, u32),
        ledger: &mut Ledger,
        tally: &mut Tally,
    ) -> bool {
        let fit = match self.current.epoch {
            Some(epoch) => ledger.see(epoch, seq, content, digest),
            None => Fit::Absurd,
        };
        match fit {
            Fit::Agrees => {}
            Fit::Disagrees => tally.counts.disagreements += 1,
            Fit::StoredTwice => tally.counts.stored_twice += 1,
            Fit::Absurd => {
                tally.counts.garbage += 1;
                return false;
            }
        }
        match self.current.take(seq, self.announced) {
            Place::Next => self.announced = Announced::Nothing,
            Place::Late => tally.counts.inversions += 1,
            Place::Again => {
                tally.counts.duplicates += 1;
                return false;
            }
        }
        tally.counts.delivered += 1;
        self.delivered += 1;
        true
    }

    /// Draws the balance at the end.
    pub(crate) fn balance(&self, closed: &Closed, stay: Stay) -> Balance {
        let mut sum = Balance::default();
        for segment in self.past.iter().chain([&self.current]) {
            for hole in &segment.holes {
                let missing = hole.to - hole.from + 1;
                sum.signalled += hole.announced;
                sum.lost += missing - hole.announced;
                if hole.by_skip {
                    sum.gifts_skipped += closed.gifts(segment.epoch, hole.from, hole.to + 1);
                }
            }
        }
        let start = self.past.first().unwrap_or(&self.current);
        if let (true, Some((first, _))) = (self.from_start, start.range) {
            sum.lost += closed.known(start.epoch, 0, first);
        }
        if stay == Stay::ToTheEnd {
            self.tail(closed, &mut sum);
        }
        sum.expected = self.delivered + sum.lost + sum.signalled;
        sum
    }

    fn tail(&self, closed: &Closed, sum: &mut Balance) {
        let epoch = self.current.epoch.or_else(|| closed.first_epoch());
        let (first, next) = match self.current.range {
            Some(range) => range,
            // Somebody who came late and saw nothing may have come when all was over.
            None if !self.from_start && self.past.is_empty() => (0, u64::MAX),
            None => (0, 0),
        };
        let missing = closed.known(epoch, next, u64::MAX) + closed.unseen(first, next, self.current.since_us);
        let announced = self.announced.covers(missing);
        sum.signalled += announced;
        sum.lost += missing - announced;
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers of tests are small")]
mod tests;
