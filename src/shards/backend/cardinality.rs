//! About how many different things there were, in bounded memory.

use std::collections::BTreeSet;

/// How many hashes are kept. Up to so many things the count is exact; beyond, its standard error is about
/// 1/√(this - 2) = 1.6 %.
const KEPT: usize = 4_096;
/// What a hash costs in the set.
const HASH_BYTES: usize = 16;

/// Counts different things by the smallest of their hashes, each of which is to be uniform in 64 bits: if the 4,096th
/// smallest is a thousandth of the way up, there were about 4,096,000 (Bar-Yossef and others, "Counting Distinct
/// Elements in a Data Stream", 2002). It takes 64 KiB at most.
#[derive(Debug, Clone, Default)]
pub(in crate::shards) struct Cardinality {
    smallest: BTreeSet<u64>,
}

impl Cardinality {
    pub(in crate::shards) fn add(&mut self, hash: u64) {
        let is_small =
            self.smallest.len() < KEPT || self.smallest.last().is_some_and(|largest| hash < *largest);
        if is_small && self.smallest.insert(hash) && self.smallest.len() > KEPT {
            self.smallest.pop_last();
        }
    }

    pub(in crate::shards) fn count(&self) -> u64 {
        match self.smallest.last() {
            Some(largest) if self.smallest.len() == KEPT => {
                let all = u128::from(u64::MAX) * (KEPT as u128 - 1) / u128::from(*largest).max(1);
                u64::try_from(all).unwrap_or(u64::MAX)
            }
            _ => self.smallest.len() as u64,
        }
    }

    /// What it takes of memory, about.
    pub(in crate::shards) fn bytes(&self) -> usize {
        self.smallest.len() * HASH_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shards::routing::ring::hash;

    fn of(users: impl Iterator<Item = u32>) -> Cardinality {
        let mut distinct = Cardinality::default();
        users.for_each(|user| distinct.add(hash(format!("user-{user}").as_bytes())));
        distinct
    }

    #[test]
    fn few_are_counted_exactly_and_each_once() {
        assert_eq!(Cardinality::default().count(), 0);
        assert_eq!(of((0..4_095).chain(0..4_095)).count(), 4_095);
    }

    #[test]
    fn many_are_counted_within_some_percent_in_bounded_memory() {
        for users in [10_000_u32, 100_000, 1_000_000] {
            let distinct = of(0..users);
            let error = distinct.count() as f64 / f64::from(users) - 1.0;
            assert!(error.abs() < 0.06, "{users}: {}", distinct.count());
            assert!(distinct.bytes() <= 64 * 1024);
        }
    }

    #[test]
    fn hashes_at_the_ends_of_their_range_do_no_harm() {
        let mut distinct = Cardinality::default();
        (0..10_000).chain([u64::MAX]).for_each(|hash| distinct.add(hash));
        assert!(distinct.count() >= 4_096, "hashes that are not uniform count as very many");
    }
}
