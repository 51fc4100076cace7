//! The uses of limits: a cell for each owner, in a table of a fixed size.

use std::time::Duration;

use parking_lot::Mutex;

use super::rules::Rate;
use crate::domain::Refusal;

/// Somebody did something too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOften {
    /// How long until it may be done again.
    pub wait: Duration,
}

impl From<TooOften> for Refusal {
    fn from(TooOften { wait }: TooOften) -> Self {
        Self::RateLimited { retry_ms: u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX) }
    }
}

/// A rate in the clock's steps of a nanosecond.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Between two, in the long run.
    pub(super) every: u64,
    /// How far ahead of that somebody may be.
    pub(super) ahead: u64,
}

impl From<Rate> for Pace {
    fn from(Rate { per_second, burst }: Rate) -> Self {
        let every = Duration::from_secs_f64(1.0 / per_second);
        Self { every: nanos(every), ahead: nanos(every * (burst - 1)) }
    }
}

/// Returns a time in nanoseconds.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// One owner's use of one limit: the moment at which nothing of it will be left.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cell(u64);

impl Cell {
    /// Takes so many, or tells how long it is until one may be had.
    pub(super) fn take(&mut self, pace: Pace, count: u32, now: u64) -> Result<(), TooOften> {
        let begin = self.0.max(now);
        let next = begin.saturating_add(pace.every.saturating_mul(u64::from(count)));
        // The last of them must be no further ahead than the burst allows.
        let ahead = next.saturating_sub(pace.every).saturating_sub(now);
        if ahead > pace.ahead {
            return Err(TooOften { wait: Duration::from_nanos(ahead - pace.ahead) });
        }
        self.0 = next;
        Ok(())
    }

    /// Gives so many back. What time has given back already is not had twice, since nothing counts before now.
    pub(super) fn give_back(&mut self, pace: Pace, count: u32) {
        self.0 = self.0.saturating_sub(pace.every.saturating_mul(u64::from(count)));
    }
}

/// How many parts of the table have a lock each.
pub(super) const SHARDS: usize = 64;
/// How many sets a part has.
pub(super) const SETS: usize = 128;
/// How many owners a set holds: 65,536 in all, of 16 bytes each, so 1 MiB.
pub(super) const OWNERS: usize = 8;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Owner {
    pub(super) key: u64,
    pub(super) cell: Cell,
}

pub(super) type Set = [Owner; OWNERS];

/// The owners that were seen lately. Full: whoever is nearest to having used nothing makes way, so that strangers who
/// come in any number push out each other, and not who is in debt.
#[derive(Debug)]
pub(super) struct Table {
    /// Each guards its sets; held for one look.
    pub(super) shards: Box<[Mutex<Box<[Set]>>]>,
}

impl Table {
    pub(super) fn new(shards: usize) -> Self {
        let shard = || Mutex::new(vec![Set::default(); SETS].into_boxed_slice());
        Self { shards: std::iter::repeat_with(shard).take(shards).collect() }
    }

    pub(super) fn take(&self, key: u64, pace: Pace, count: u32, now: u64) -> Result<(), TooOften> {
        let place = usize::try_from(key >> 32).unwrap_or(0);
        let Some(shard) = self.shards.get(place % SHARDS) else { return Ok(()) };
        let mut sets = shard.lock();
        let set = &mut sets[(place / SHARDS) % SETS];
        let at = set.iter().position(|owner| owner.key == key).unwrap_or_else(|| {
            let freest = (0..OWNERS).min_by_key(|at| set[*at].cell.0).unwrap_or(0);
            set[freest] = Owner { key, cell: Cell::default() };
            freest
        });
        set[at].cell.take(pace, count, now)
    }

    /// Gives back to an owner that is still known.
    pub(super) fn give_back(&self, key: u64, pace: Pace, count: u32) {
        let place = usize::try_from(key >> 32).unwrap_or(0);
        let Some(shard) = self.shards.get(place % SHARDS) else { return };
        let mut sets = shard.lock();
        let set = &mut sets[(place / SHARDS) % SETS];
        if let Some(owner) = set.iter_mut().find(|owner| owner.key == key) {
            owner.cell.give_back(pace, count);
        }
    }
}
