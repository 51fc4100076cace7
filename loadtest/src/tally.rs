//! What a run counts: plain numbers and histograms, added up over all sockets at the end.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies up to here are told apart; longer ones count as this long.
const LONGEST_US: u64 = 600_000_000;

/// A histogram of microseconds with three significant digits.
pub(crate) struct Spread(Option<Histogram<u32>>);

impl Default for Spread {
    fn default() -> Self {
        // These bounds are always accepted.
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).ok())
    }
}

impl Spread {
    pub(crate) fn record(&mut self, us: u64) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(us.max(1));
        }
    }

    fn add(&mut self, other: &Self) {
        if let (Some(mine), Some(theirs)) = (&mut self.0, &other.0) {
            // Both have the same bounds, so nothing of theirs is out of range.
            let _ = mine.add(theirs);
        }
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
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counts {
            fn add(&mut self, other: &Self) {
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
#[derive(Default)]
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

/// Different reasons that are told apart; a server that makes up new ones costs no memory.
const MAX_REASONS: usize = 64;

/// Counts one more of this reason.
pub(crate) fn note(reasons: &mut Reasons, reason: &str) {
    let fits = reasons.len() < MAX_REASONS || reasons.contains_key(reason);
    let name = if fits { reason } else { "others" };
    *reasons.entry(name.to_owned()).or_default() += 1;
}
