//! The naive model: the stream's order as a list, and the reading of what a viewer was told of it.

use super::wire::{TapePlace, Told};
use crate::{domain::Position, hub::RECENT_COMMENTS};

/// One item of the stream's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Comment(TapePlace),
    /// A priority entry.
    Gift(TapePlace),
    Gap {
        from: u64,
        to: TapePlace,
    },
    Reset(TapePlace),
}

impl Step {
    /// The place after it; no two steps have the same.
    fn after(self) -> TapePlace {
        match self {
            Self::Comment(place) | Self::Gift(place) | Self::Reset(place) | Self::Gap { to: place, .. } => {
                place
            }
        }
    }

    /// How many entries a viewer misses with it.
    fn width(self) -> u64 {
        match self {
            Self::Comment(_) | Self::Gift(_) => 1,
            Self::Gap { from, to: (_, to) } => to + 1 - from,
            Self::Reset(_) => 0,
        }
    }
}

/// How far a viewer has read, and what it counted on the way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// How many steps of the order it has read or was told to have missed.
    pub(super) steps: usize,
    pub(super) live: u64,
    pub(super) skipped: u64,
    pub(super) own: u64,
    pub(super) viewers: u64,
}

#[derive(Debug)]
pub(super) struct Order(pub(super) Vec<Step>);

impl Order {
    /// How many steps come before a position.
    pub(super) fn steps_before(&self, position: &Position) -> usize {
        let place = (position.epoch.to_string().chars().next().unwrap(), position.seq);
        self.steps_to(place).unwrap_or_default()
    }

    /// The place after so many steps.
    pub(super) fn place(&self, steps: usize) -> TapePlace {
        steps.checked_sub(1).map_or(('a', 0), |last| self.0[last].after())
    }

    fn steps_to(&self, place: TapePlace) -> Option<usize> {
        self.0.iter().position(|step| step.after() == place).map(|last| last + 1)
    }

    /// Reads what a viewer was told that began after so many steps.
    ///
    /// # Errors
    /// The first thing that it should not have been told, and what it should have been told instead.
    pub(super) fn read(&self, steps: usize, told: &[Told]) -> Result<Reading, String> {
        let mut reading = Reading { steps, ..Reading::default() };
        for (n, &now) in told.iter().enumerate() {
            let next = self.0.get(reading.steps).copied();
            let good = match now {
                Told::Live(place) | Told::Past(place) => {
                    reading.live += u64::from(matches!(now, Told::Live(_)));
                    reading.step(matches!(next, Some(Step::Comment(at) | Step::Gift(at)) if at == place))
                }
                Told::Gap(from, to) => reading
                    .step(matches!(next, Some(Step::Gap { from: f, to: (_, t) }) if (f, t) == (from, to))),
                Told::Reset(place) if next == Some(Step::Reset(place)) => reading.step(true),
                // It fell past a reset: a skip to the same place follows, if it missed more than resets.
                Told::Reset(place) => match told.get(n + 1) {
                    Some(Told::Skipped(_, to)) if *to == place => true,
                    next => self.skip(&mut reading, 0, place, true) || next.is_none(),
                },
                Told::Skipped(count, place) => {
                    let knows_reset = n > 0 && told[n - 1] == Told::Reset(place);
                    count > 0 && self.skip(&mut reading, count, place, knows_reset)
                }
                Told::Viewers(viewers) => std::mem::replace(&mut reading.viewers, viewers) < viewers,
                Told::Own(own) => std::mem::replace(&mut reading.own, own) + 1 == own,
                Told::Close => false,
            };
            if !good {
                return Err(format!("{now:?} is the {n}th of {told:?}; next is {next:?} of {reading:?}"));
            }
        }
        Ok(reading)
    }

    /// Goes on at a place; returns whether so many entries lie before it, and a reset among them if the viewer knows one.
    fn skip(&self, reading: &mut Reading, count: u64, place: TapePlace, knows_reset: bool) -> bool {
        let Some(steps) = self.steps_to(place) else { return false };
        let Some(missed) = self.0.get(reading.steps..steps) else { return false };
        // A tape never gives up the recent comments: who is told to have missed those was not too slow.
        let later = self.0[steps..].iter().filter(|step| matches!(step, Step::Comment(_) | Step::Gift(_)));
        let is_recent = (later.count() as u64) < RECENT_COMMENTS;
        let is_gift = missed.iter().any(|step| matches!(step, Step::Gift(_)));
        let is_reset = missed.iter().any(|step| matches!(step, Step::Reset(_)));
        reading.steps = steps;
        reading.skipped += count;
        !is_recent
            && !is_gift
            && is_reset == knows_reset
            && count == missed.iter().map(|step| step.width()).sum::<u64>()
    }
}

impl Reading {
    fn step(&mut self, good: bool) -> bool {
        self.steps += 1;
        good
    }
}
