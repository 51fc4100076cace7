//! Which shard owns a stream: weighted rendezvous hashing.
//!
//! Every shard has as many points as its weight. A point's score for a stream is
//! `mix(fnv1a("<shard>/<number>") ^ fnv1a("<stream>"))`; the stream belongs to the shard whose point scores highest. So a
//! shard that is added takes its share from the others and moves nothing between them, and one that is removed, whichever
//! it is, leaves its streams to the others and moves nothing else.
//!
//! The hash is fixed: FNV-1a, 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>), and the finalizer of SplitMix64
//! (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). Golden vectors in the tests pin it:
//! pods that disagree would publish a stream in one place and listen in another.

use crate::domain::StreamId;

/// The largest weight of a shard.
pub(in crate::shards) const MAX_WEIGHT: u16 = 100;

/// Owns the mapping from streams to shards, by index in the list that it was made of.
#[derive(Debug, Clone)]
pub(in crate::shards) struct Ring {
    /// Each point's seed, and the shard that it belongs to.
    points: Vec<(u64, usize)>,
}

impl Ring {
    /// A ring of named and weighted shards; at least one, each of weight 1 or more.
    pub(in crate::shards) fn new<'a>(shards: impl IntoIterator<Item = (&'a str, u16)>) -> Self {
        let points_of = |(shard, (name, weight)): (usize, (&str, u16))| {
            let name = name.to_owned();
            (0..weight).map(move |number| (fnv1a(format!("{name}/{number}").as_bytes()), shard))
        };
        Self { points: shards.into_iter().enumerate().flat_map(points_of).collect() }
    }

    /// The index of the shard that owns the stream.
    pub(in crate::shards) fn owner(&self, stream: &StreamId) -> usize {
        let hash = fnv1a(stream.as_str().as_bytes());
        // The seed decides between equal scores, so that the order of the list never does.
        let best = self.points.iter().max_by_key(|(seed, _)| (mix(seed ^ hash), *seed));
        best.map_or(0, |(_, shard)| *shard)
    }
}

/// A hash of 64 bits that is the same on every pod and in every version, and uniform for short texts as well.
pub(in crate::shards) fn hash(bytes: &[u8]) -> u64 {
    mix(fnv1a(bytes))
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const STREAMS: usize = 20_000;

    fn owners<'a>(shards: &[(&'a str, u16)]) -> Vec<&'a str> {
        let ring = Ring::new(shards.iter().copied());
        (0..STREAMS).map(|n| shards[ring.owner(&format!("stream-{n}").parse().unwrap())].0).collect()
    }

    fn shares(owners: &[&str]) -> HashMap<String, f64> {
        let mut shares = HashMap::new();
        owners
            .iter()
            .for_each(|owner| *shares.entry((*owner).to_owned()).or_insert(0.0) += 1.0 / STREAMS as f64);
        shares
    }

    #[test]
    fn golden_vectors_pin_the_hash() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
        // The first output of SplitMix64 for the seed 0 is its finalizer of the golden gamma.
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0xe220_a839_7b1d_cdaf);
        let ring = Ring::new([("a", 1), ("b", 2), ("c", 1)]);
        let owner = |stream: &str| ["a", "b", "c"][ring.owner(&stream.parse().unwrap())];
        let owners: String = (0..32).map(|n| owner(&format!("s{n}"))).collect();
        assert_eq!(owners, "abbabcccacbacbaccacbcaaabbbbbbbc");
        assert_eq!(owner("lobby"), "c");
    }

    #[test]
    fn shares_follow_the_weights() {
        let shares = shares(&owners(&[("a", 1), ("b", 2), ("c", 5)]));
        for (name, share) in [("a", 0.125), ("b", 0.25), ("c", 0.625)] {
            assert!((shares[name] - share).abs() < 0.02, "{name}: {}", shares[name]);
        }
    }

    #[test]
    fn a_shard_that_is_added_takes_its_share_and_moves_nothing_else() {
        let before = owners(&[("a", 1), ("b", 1), ("c", 1)]);
        let after = owners(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        assert!(moved.clone().all(|(_, after)| *after == "d"));
        let share = moved.count() as f64 / STREAMS as f64;
        assert!(share < 0.25 * 1.1, "{share}");
    }

    #[test]
    fn any_shard_can_be_removed_and_the_order_of_the_list_does_not_matter() {
        let all = [("a", 1), ("b", 2), ("c", 1), ("d", 3)];
        let before = owners(&all);
        for gone in 0..all.len() {
            let mut rest: Vec<_> = all.to_vec();
            let (name, _) = rest.remove(gone);
            rest.reverse();
            let after = owners(&rest);
            let stayed = |(before, after): (&&str, &&str)| *before == name || before == after;
            assert!(before.iter().zip(&after).all(stayed), "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_stream_has_an_owner(weights in prop::collection::vec(1..=MAX_WEIGHT, 1..9), stream in "[a-zA-Z0-9_-]{1,64}") {
            let names: Vec<String> = (0..weights.len()).map(|n| format!("shard{n}")).collect();
            let ring = Ring::new(names.iter().map(String::as_str).zip(weights.iter().copied()));
            prop_assert!(ring.owner(&stream.parse().unwrap()) < weights.len());
        }
    }
}
