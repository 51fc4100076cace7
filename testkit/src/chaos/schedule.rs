//! Which faults come when: the same for the same seed.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use super::faults::{Kind, PlannedFault};

/// How long a fault is held, in milliseconds.
const HOLD_MS: std::ops::Range<u64> = 1_000..4_000;
/// After every kind has come alone, one in so many comes together with another.
const TOGETHER: u32 = 3;

/// Faults without end: each kind once in an order of chance, and again in another.
pub(super) struct Schedule {
    chance: StdRng,
    kinds: Vec<Kind>,
    round: Vec<Kind>,
    rounds: u32,
    shards: usize,
    pods: usize,
}

impl Schedule {
    pub(super) fn new(seed: u64, kinds: &[Kind], pods: usize, shards: usize) -> Self {
        let chance = StdRng::seed_from_u64(seed);
        Self { chance, kinds: kinds.to_vec(), round: Vec::new(), rounds: 0, shards, pods }
    }

    /// The next fault, or two at once.
    pub(super) fn next(&mut self) -> Vec<PlannedFault> {
        let first = self.one();
        if self.rounds < 2 || self.chance.random_range(0..TOGETHER) > 0 {
            return vec![first];
        }
        let mut second = self.one();
        // Two at one server or pod would be in each other's way.
        second.shard = (first.shard + 1) % self.shards;
        second.place = (first.place + 1) % self.pods;
        vec![first, second]
    }

    fn one(&mut self) -> PlannedFault {
        if self.round.is_empty() {
            self.round.clone_from(&self.kinds);
            self.round.shuffle(&mut self.chance);
            self.rounds += 1;
        }
        let kind = self.round.pop().expect("kinds");
        let hold = Duration::from_millis(self.chance.random_range(HOLD_MS));
        let (shard, place) =
            (self.chance.random_range(0..self.shards), self.chance.random_range(0..self.pods));
        PlannedFault { kind, shard, place, hold, dice: self.chance.random() }
    }
}

/// A seed is a whole run: the same faults at the same places, for as long.
#[test]
fn a_seed_replays() {
    let faults = |seed| {
        let mut schedule = Schedule::new(seed, Kind::ALL, 3, 3);
        (0..100).map(|_| format!("{:?}", schedule.next())).collect::<Vec<_>>()
    };
    assert_eq!(faults(7), faults(7));
    assert_ne!(faults(7), faults(8));
    let mut schedule = Schedule::new(7, Kind::ALL, 3, 3);
    let mut first: Vec<_> = Kind::ALL.iter().flat_map(|_| schedule.next()).map(|fault| fault.kind).collect();
    first.sort_unstable();
    assert_eq!(first, Kind::ALL, "each kind comes alone first");
}
