//! What the A/B compares.

use serde::Serialize;

use super::args::AbArgs;
use crate::{
    commands::local::{Measured, Member, ProcessCost},
    report::Reasons,
};

/// What one run cost.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// CPU of all pods with viewers while posting, as a share of one core.
    pub pods_cores: f64,
    /// CPU of the pod that takes the posts.
    pub poster_cores: f64,
    /// CPU of all shards.
    pub redis_cores: f64,
    /// Resident memory of all pods with viewers at the end of the posting, in bytes.
    pub pods_rss_bytes: u64,
    /// How much of that they did not have before the first viewer and the first post.
    pub pods_grown_bytes: u64,
    /// Resident memory of all shards at the end of the posting, in bytes.
    pub redis_rss_bytes: u64,
    /// Messages that all pods with viewers received.
    pub received: u64,
    /// Streams that all pods with viewers are subscribed to, summed.
    pub subscriptions: u64,
    /// Unwatched streams whose channel has a subscriber, as Redis says.
    pub unwatched_heard: usize,
    /// Bytes that Redis sent, to all pods, answers to posts included.
    pub redis_sent_bytes: u64,
    /// Deliveries to viewers.
    pub delivered: u64,
    /// 99 of 100 deliveries were at most this late, in microseconds.
    pub p99_us: u64,
    /// CPU of the tester, as a share of one core.
    pub tester_cores: f64,
    /// Promises that did not hold, and how often.
    pub violations: Reasons,
}

/// Both ways, one right after the other.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// Hearing what is watched.
    pub watched: Figures,
    /// Hearing everything.
    pub everything: Figures,
}

/// The middle of some values, and their ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Median {
    /// The middle one, or the lower of the two in the middle.
    pub middle: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

/// What the A/B found.
#[derive(Debug, Serialize)]
pub struct AbReport {
    /// What did not hold: a promise in a run, or that nothing comes of what nobody watches when only that is heard.
    pub broken: Vec<String>,
    /// Pods with viewers, shards.
    pub started: [u16; 2],
    /// Streams, and how many of them are watched.
    pub streams: [u32; 2],
    /// Viewers, on all pods together.
    pub viewers: u32,
    /// Comments a second in each stream.
    pub rate: f64,
    /// Seconds of posting in each run.
    pub seconds: f64,
    /// Messages that the pods should receive when they hear only what is watched: each post of a watched stream once a
    /// pod.
    pub due: u64,
    /// Each round.
    pub rounds: Vec<Round>,
}

impl Figures {
    pub(super) fn of(measured: &Measured, unwatched_heard: usize) -> Self {
        let pods = &measured.pods;
        let counts = || pods.iter().filter_map(|pod| pod.counts);
        let sent = measured.shards.iter().filter_map(|shard| shard.counts);
        let tester = measured.run.tester.cores;
        Self {
            pods_cores: sum_cores(pods),
            poster_cores: sum_cores(&measured.poster),
            redis_cores: sum_cores(&measured.shards),
            pods_rss_bytes: sum(pods, |cost| cost.rss_end_bytes),
            pods_grown_bytes: sum(pods, |cost| cost.rss_end_bytes.saturating_sub(cost.rss_before_bytes)),
            redis_rss_bytes: sum(&measured.shards, |cost| cost.rss_end_bytes),
            received: counts().map(|counts| counts.received).sum(),
            subscriptions: counts().map(|counts| counts.subscriptions).sum(),
            unwatched_heard,
            redis_sent_bytes: sent.map(|counts| counts.output_bytes).sum(),
            delivered: measured.run.deliveries.delivered,
            p99_us: measured.run.latencies.delivery.p99_us,
            tester_cores: tester,
            violations: measured.run.violations.clone(),
        }
    }
}

fn sum<C>(members: &[Member<C>], of: fn(&ProcessCost) -> u64) -> u64 {
    members.iter().map(|member| of(&member.cost)).sum()
}

fn sum_cores<C>(members: &[Member<C>]) -> f64 {
    members.iter().map(|member| member.cost.cores).sum()
}

impl AbReport {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates; not negative"
    )]
    pub(super) fn of(args: &AbArgs, rounds: Vec<Round>) -> Self {
        let pods = u64::from(args.fleet.pods);
        let posts = (args.rate * args.seconds + 1e-9) as u64;
        let due = posts * u64::from(args.watched) * pods;
        let mut broken = Vec::new();
        for (number, round) in (1..).zip(&rounds) {
            for (way, figures) in [("what is watched", &round.watched), ("everything", &round.everything)] {
                let violations = figures.violations.iter();
                broken
                    .extend(violations.map(|(name, count)| format!("round {number}, {way}: {name} {count}")));
            }
            let Figures { received, subscriptions, unwatched_heard, .. } = round.watched;
            if received != due || subscriptions != u64::from(args.watched) * pods || unwatched_heard != 0 {
                broken.push(format!("round {number}: {received} messages came, and {due} were due"));
            }
        }
        Self {
            broken,
            started: [args.fleet.pods, args.fleet.shards],
            streams: [args.streams, args.watched],
            viewers: args.viewers,
            rate: args.rate,
            seconds: args.seconds,
            due,
            rounds,
        }
    }

    /// A figure of both ways: hearing everything, hearing what is watched.
    pub(super) fn both(&self, of: impl Fn(&Figures) -> f64) -> [Median; 2] {
        let everything = self.rounds.iter().map(|round| of(&round.everything)).collect();
        let watched = self.rounds.iter().map(|round| of(&round.watched)).collect();
        [Median::of(everything), Median::of(watched)]
    }

    /// How many pods hold the same viewers, when each may use as much CPU as one of these does that hears everything.
    pub(super) fn pods_needed(&self) -> f64 {
        let [everything, watched] = self.both(|figures| figures.pods_cores);
        f64::from(self.started[0]) * watched.middle / everything.middle.max(f64::MIN_POSITIVE)
    }
}

impl Median {
    pub(super) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let middle = values.len().saturating_sub(1) / 2;
        let at = |place: usize| values.get(place).copied().unwrap_or(0.0);
        Self { middle: at(middle), least: at(0), most: at(values.len().saturating_sub(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_a_value_that_was_measured() {
        assert_eq!(Median::of(vec![3.0, 1.0, 2.0]), Median { middle: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(Median::of(vec![4.0, 1.0]), Median { middle: 1.0, least: 1.0, most: 4.0 });
        assert_eq!(Median::of(vec![]), Median { middle: 0.0, least: 0.0, most: 0.0 });
    }
}
