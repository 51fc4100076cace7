//! What a run counts: plain numbers and histograms, added up over all sockets at the end.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latencies up to here are told apart; longer ones count as this long.
const LONGEST_US: u64 = 600_000_000;

/// A histogram of microseconds with three significant digits, which grows with its values; `None` before the
/// first. Between processes it is a list of values with their counts.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u32)>", into = "Vec<(u64, u32)>")]
pub(crate) struct Spread(Option<Histogram<u32>>);

impl From<Vec<(u64, u32)>> for Spread {
    fn from(values: Vec<(u64, u32)>) -> Self {
        let mut spread = Self::default();
        values.into_iter().for_each(|(us, count)| spread.record_n(us, count));
        spread
    }
}

impl From<Spread> for Vec<(u64, u32)> {
    fn from(Spread(histogram): Spread) -> Self {
        let values = histogram.iter().flat_map(Histogram::iter_recorded);
        values.map(|value| (value.value_iterated_to(), value.count_at_value())).collect()
    }
}

impl Spread {
    pub(crate) fn record(&mut self, us: u64) {
        self.record_n(us, 1);
    }

    fn record_n(&mut self, us: u64, count: u32) {
        if self.0.is_none() {
            // Three digits are always accepted.
            self.0 = Histogram::new(3).ok();
        }
        if let Some(histogram) = &mut self.0 {
            // Values up to the longest always find room.
            let _ = histogram.record_n(us.clamp(1, LONGEST_US), count);
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (_, None) => {}
            (None, Some(theirs)) => self.0 = Some(theirs.clone()),
            (Some(mine), Some(theirs)) => {
                // Mine grows as far as it has to.
                let _ = mine.add(theirs);
            }
        }
    }

    /// What was recorded since `before`, a copy of this one.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut new = self.clone();
        if let (Some(mine), Some(theirs)) = (&mut new.0, &before.0) {
            // A copy holds nothing that this one does not.
            let _ = mine.subtract(theirs);
        }
        new
    }

    /// The share of the values up to this one; 1 when there are none.
    #[expect(clippy::cast_precision_loss, reason = "a share for people to read")]
    pub(crate) fn share_within(&self, us: u64) -> f64 {
        let Some(histogram) = self.0.as_ref().filter(|histogram| !histogram.is_empty()) else { return 1.0 };
        histogram.count_between(0, us) as f64 / histogram.len() as f64
    }

    /// How many values are greater than this one.
    pub(crate) fn later_than(&self, us: u64) -> u64 {
        self.0.as_ref().map_or(0, |histogram| histogram.len() - histogram.count_between(0, us))
    }

    /// Points of the distribution: percentile and microseconds, closer together towards 100.
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    pub(crate) fn curve(&self) -> Vec<[f64; 2]> {
        let Some(histogram) = self.0.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Vec::new();
        };
        let mut points = Vec::new();
        let mut beyond = 1.0;
        while beyond > 0.5 / histogram.len() as f64 && points.len() < 80 {
            let quantile = 1.0 - beyond;
            points.push([quantile * 100.0, histogram.value_at_quantile(quantile) as f64]);
            beyond /= 1.333_521_432_163_324;
        }
        points.push([100.0, histogram.max() as f64]);
        points
    }

    pub(crate) fn quantiles(&self) -> Quantiles {
        let Some(histogram) = &self.0 else { return Quantiles::default() };
        let at = |quantile| histogram.value_at_quantile(quantile);
        Quantiles {
            samples: histogram.len(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max(),
        }
    }
}

/// The usual points of a distribution, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// How many values there were; with none the others are 0.
    pub samples: u64,
    /// Half of the values are at most this.
    pub p50_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// 999 of 1,000.
    pub p999_us: u64,
    /// The largest.
    pub max_us: u64,
}

/// How often each reason was met.
pub type Reasons = BTreeMap<String, u64>;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Plain numbers of what the sockets saw.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counts {
            pub(crate) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counts! {
    /// Sockets whose handshake was answered by 101 and `hello`.
    joined,
    /// Text frames read.
    frames,
    /// Bytes read after the handshakes.
    bytes,
    /// Reads from sockets; fewer than frames when the server lets several go out together.
    reads,
    /// Entries that reached a viewer, each once.
    delivered,
    /// Those of them that came with `history:true`.
    replayed,
    /// Entries that came again to a viewer that had them.
    duplicates,
    /// Entries that came after a later one, and acks against the order of posting.
    inversions,
    /// A viewer was told something else at an (epoch, seq) than another one, or than the poster.
    disagreements,
    /// One post at two places of a stream.
    stored_twice,
    /// Entries that nobody of this run posted.
    foreign,
    /// Text frames that are not what the protocol says, and broken WebSocket frames.
    garbage,
    /// Frames of a type that this tester does not know.
    unknown_frames,
    /// `skipped` frames.
    skips,
    /// `gap` frames.
    gaps,
    /// `reset` frames.
    resets,
    /// Another epoch without a `reset`.
    silent_resets,
    /// `reconnect` frames.
    moves,
    /// Posts that were acked.
    acked,
    /// Acks that said `duplicate` (a post was sent again with the same idempotency id).
    acked_again,
    /// Connections that were resumed with `after`.
    resumed,
}

/// All counts and histograms of a share of the sockets.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    /// Why joins failed.
    pub(crate) join_failures: Reasons,
    /// Why connections ended that the tester did not end.
    pub(crate) drops: Reasons,
    /// Viewers that could not resume.
    pub(crate) resume_failures: Reasons,
    /// Why posts were refused.
    pub(crate) refusals: Reasons,
    /// Error frames that answer no post.
    pub(crate) errors: Reasons,
    /// From a post's scheduled time to each live delivery.
    pub(crate) delivery: Spread,
    /// From a post's scheduled time to its ack.
    pub(crate) ack: Spread,
    /// From the start of a connection to `hello`.
    pub(crate) join: Spread,
    /// From a post's scheduled time to its writing: the tester's own lateness.
    pub(crate) lateness: Spread,
}

/// Tallies by what may be expected of the viewers.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tallies {
    /// In their stream from before the posting to the end.
    pub(crate) steady: Tally,
    /// Late or restless.
    pub(crate) moving: Tally,
    /// Those that read slowly.
    pub(crate) slow: Tally,
}

impl Tallies {
    pub(crate) fn add(&mut self, other: &Self) {
        self.steady.add(&other.steady);
        self.moving.add(&other.moving);
        self.slow.add(&other.slow);
    }
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        for (mine, theirs) in [
            (&mut self.join_failures, &other.join_failures),
            (&mut self.drops, &other.drops),
            (&mut self.resume_failures, &other.resume_failures),
            (&mut self.refusals, &other.refusals),
            (&mut self.errors, &other.errors),
        ] {
            for (reason, count) in theirs {
                *mine.entry(reason.clone()).or_default() += count;
            }
        }
        self.delivery.add(&other.delivery);
        self.ack.add(&other.ack);
        self.join.add(&other.join);
        self.lateness.add(&other.lateness);
    }
}

/// Why a viewer did not resume that was about to when the run ended.
pub(crate) const RUN_ENDED: &str = "not before the end of the run";
/// Different reasons that are told apart; a server that makes up new ones costs no memory.
const MAX_REASONS: usize = 64;

/// Counts one more of this reason.
pub(crate) fn note(reasons: &mut Reasons, reason: &str) {
    let fits = reasons.len() < MAX_REASONS || reasons.contains_key(reason);
    let name = if fits { reason } else { "others" };
    *reasons.entry(name.to_owned()).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(values: impl IntoIterator<Item = u64>) -> Spread {
        let mut spread = Spread::default();
        values.into_iter().for_each(|us| spread.record(us));
        spread
    }

    #[test]
    fn a_spread_survives_the_way_to_another_process() {
        let whole = spread((1..2000).map(|number| number * number));
        let text = serde_json::to_string(&whole).unwrap();
        let back: Spread = serde_json::from_str(&text).unwrap();
        assert_eq!((back.quantiles(), back.curve()), (whole.quantiles(), whole.curve()));
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let (low, high) = (spread(1..=900), spread([5_000; 100]));
        let mut whole = Spread::default();
        whole.add(&low);
        whole.add(&high);
        whole.add(&Spread::default());
        let Quantiles { samples, p50_us, p99_us, max_us, .. } = whole.quantiles();
        assert_eq!((samples, p50_us, p99_us / 10, max_us / 10), (1000, 500, 500, 500));
        assert_eq!((whole.share_within(900), whole.later_than(900)), (0.9, 100));
        assert_eq!(whole.since(&low).quantiles().p50_us / 10, 500);
        assert_eq!(whole.since(&Spread::default()).quantiles().samples, 1000);
    }

    #[test]
    fn nothing_recorded_is_nothing_late() {
        let none = Spread::default();
        assert_eq!((none.share_within(1), none.later_than(1), none.curve().len()), (1.0, 0, 0));
        assert_eq!(spread([u64::MAX]).quantiles().samples, 1, "absurd values count as the longest");
    }

    #[test]
    fn a_curve_rises_to_its_end() {
        let curve = spread(1..=10_000).curve();
        assert!(curve.windows(2).all(|pair| pair[0][0] < pair[1][0] && pair[0][1] <= pair[1][1]));
        assert_eq!(curve.last().map(|[percentile, _]| *percentile), Some(100.0));
        assert!(curve.len() > 20, "{}", curve.len());
    }
}
