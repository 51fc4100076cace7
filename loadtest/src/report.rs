//! What a run found: the figures, and the verdict over them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    checker::Balance,
    plan::{Plan, Posting},
    stuck::Cuts,
    tally::Tally,
};
pub use crate::{
    proc::Usage,
    tally::{Counts, Quantiles, Reasons},
};

/// The shape of the run.
#[derive(Debug, Clone, Serialize)]
pub struct Shape {
    /// Where the servers are.
    pub targets: Vec<String>,
    /// In the names of the run's streams.
    pub run: String,
    /// Listening viewers.
    pub viewers: u32,
    /// Viewers that post as well.
    pub posters: u32,
    /// Viewers that drop and resume.
    pub resumers: u32,
    /// Streams, and how many of them are watched.
    pub streams: [u32; 2],
    /// Comments a second in each stream.
    pub rate: f64,
    /// Gifts a second in each stream.
    pub gifts_per_second: f64,
    /// Length of the posting in seconds.
    pub seconds: f64,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Whether comments were posted through REST.
    pub rest: bool,
}

/// What became of the posts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Posts {
    /// Due by the schedule.
    pub offered: u64,
    /// Acked by the server.
    pub acked: u64,
    /// Answered with an error.
    pub refused: u64,
    /// Without any answer at the end, or never sent because there was no connection.
    pub unanswered: u64,
}

/// What should have reached the viewers, and what did not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Deliveries {
    /// Entries that the viewers should have seen, summed over them.
    pub expected: u64,
    /// Entries that they saw, each once.
    pub delivered: u64,
    /// Missing without a word.
    pub lost: u64,
    /// Viewers that lost something, and the most that one of them lost.
    pub losers: u64,
    /// See `losers`.
    pub most_lost: u64,
    /// Missing, and announced by `skipped` or `gap`.
    pub signalled: u64,
    /// Gifts that were left out by `skipped`.
    pub gifts_skipped: u64,
    /// Acked posts that reached nobody.
    pub acked_unseen: u64,
    /// Viewers that were gone before the end.
    pub left: u64,
    /// Sockets that did not end in time.
    pub unfinished: u64,
}

/// What became of the viewers that never read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StuckViewers {
    /// Seen being cut by the server.
    pub cut: u64,
    /// Cut at an unknown time.
    pub cut_unnoticed: u64,
    /// Still connected at the end.
    pub alive: u64,
    /// Shortest and longest time from the handshake to the cut, in milliseconds.
    pub after_ms: Option<[u64; 2]>,
    /// How the cuts were noticed.
    pub signs: Reasons,
}

/// CPU and memory of the servers, when their pids were given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ServerCost {
    /// Before the first viewer.
    pub before: Usage,
    /// With all viewers, before the first post.
    pub idle: Usage,
    /// After the last delivery.
    pub end: Usage,
    /// CPU of one join in microseconds.
    pub cpu_us_per_join: f64,
    /// CPU of one delivery in microseconds, all work of the posting included.
    pub cpu_us_per_delivery: f64,
    /// Share of one core while posting.
    pub cores: f64,
    /// Memory of an idle viewer in bytes: RSS with all viewers, less that before them.
    pub rss_bytes_per_viewer: f64,
}

/// CPU of the tester while posting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TesterCost {
    /// In all, in microseconds.
    pub cpu_us: u64,
    /// For each delivery, in microseconds.
    pub cpu_us_per_delivery: f64,
    /// Share of one core.
    pub cores: f64,
}

/// Distributions of times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Latencies {
    /// From a post's scheduled time to each live delivery.
    pub delivery: Quantiles,
    /// From a post's scheduled time to its ack.
    pub ack: Quantiles,
    /// From the start of a connection to `hello`.
    pub join: Quantiles,
    /// From a post's scheduled time to its writing: the tester's own lateness.
    pub lateness: Quantiles,
}

/// All that a run found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether every promise held.
    pub ok: bool,
    /// What did not, and how often.
    pub violations: Reasons,
    /// What did not but was to be tolerated.
    pub tolerated: Reasons,
    /// The shape of the run.
    pub shape: Shape,
    /// What became of the posts.
    pub posts: Posts,
    /// What became of the deliveries.
    pub deliveries: Deliveries,
    /// Deliveries a second while posting.
    pub deliveries_per_second: f64,
    /// Plain numbers over all sockets.
    pub counts: Counts,
    /// Distributions of times.
    pub latencies: Latencies,
    /// Why joins failed.
    pub join_failures: Reasons,
    /// Why connections ended that the tester did not end.
    pub drops: Reasons,
    /// Why viewers could not resume.
    pub resume_failures: Reasons,
    /// Why posts were refused.
    pub refusals: Reasons,
    /// Error frames that answer no post.
    pub errors: Reasons,
    /// The viewers that never read.
    pub stuck: StuckViewers,
    /// The servers' cost.
    pub server: Option<ServerCost>,
    /// The tester's own cost.
    pub tester: TesterCost,
}

/// The sum of the balances, and who did not stay.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) balance: Balance,
    pub(crate) losers: u64,
    pub(crate) most_lost: u64,
    pub(crate) acked_unseen: u64,
    pub(crate) left: u64,
    pub(crate) unfinished: u64,
}

/// Readings at the three moments of a run.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    pub(crate) servers: [Option<Usage>; 3],
    pub(crate) tester_cpu_us: [u64; 2],
    pub(crate) delivered: [u64; 2],
    pub(crate) posting_us: u64,
    pub(crate) joined: u64,
}

/// Everything that a report is made of.
pub(crate) struct Findings<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) run: u32,
    pub(crate) offered: u64,
    pub(crate) tally: Tally,
    pub(crate) account: Account,
    pub(crate) cuts: Cuts,
    pub(crate) readings: Readings,
}

impl Findings<'_> {
    /// Draws up the report.
    pub(crate) fn report(self) -> Report {
        let (posts, deliveries, stuck) = (self.posts(), self.deliveries(), self.stuck());
        let (violations, tolerated) = self.verdict(&posts, &deliveries, &stuck);
        let (server, tester, deliveries_per_second) = self.readings.costs();
        let shape = self.shape();
        let tally = self.tally;
        let latencies = Latencies {
            delivery: tally.delivery.quantiles(),
            ack: tally.ack.quantiles(),
            join: tally.join.quantiles(),
            lateness: tally.lateness.quantiles(),
        };
        Report {
            ok: violations.is_empty(),
            violations,
            tolerated,
            shape,
            posts,
            deliveries,
            deliveries_per_second,
            counts: tally.counts,
            latencies,
            join_failures: tally.join_failures,
            drops: tally.drops,
            resume_failures: tally.resume_failures,
            refusals: tally.refusals,
            errors: tally.errors,
            stuck,
            server,
            tester,
        }
    }

    fn shape(&self) -> Shape {
        let plan = self.plan;
        let posters = plan.checked_sockets() - plan.viewers - plan.resumers;
        Shape {
            targets: plan.targets.iter().map(|target| target.authority.clone()).collect(),
            run: format!("{:08x}", self.run),
            viewers: plan.viewers,
            posters,
            resumers: plan.resumers,
            streams: [plan.streams, plan.watched],
            rate: plan.rate,
            gifts_per_second: plan.gifts_per_second,
            seconds: plan.seconds,
            body_bytes: plan.body_bytes,
            rest: plan.posting == Posting::Rest,
        }
    }

    fn posts(&self) -> Posts {
        let acked = self.tally.counts.acked;
        let refused = sum(&self.tally.refusals);
        Posts {
            offered: self.offered,
            acked,
            refused,
            unanswered: self.offered.saturating_sub(acked + refused),
        }
    }

    fn deliveries(&self) -> Deliveries {
        let Account { balance, losers, most_lost, acked_unseen, left, unfinished } = self.account;
        Deliveries {
            expected: balance.expected,
            delivered: self.tally.counts.delivered,
            lost: balance.lost,
            losers,
            most_lost,
            signalled: balance.signalled,
            gifts_skipped: balance.gifts_skipped,
            acked_unseen,
            left,
            unfinished,
        }
    }

    fn stuck(&self) -> StuckViewers {
        let after = &self.cuts.after_us;
        let ends = after.iter().min().zip(after.iter().max());
        StuckViewers {
            cut: after.len() as u64,
            cut_unnoticed: u64::from(self.cuts.unnoticed),
            alive: u64::from(self.cuts.alive),
            after_ms: ends.map(|(shortest, longest)| [shortest / 1000, longest / 1000]),
            signs: self.cuts.signs.clone(),
        }
    }

    fn verdict(&self, posts: &Posts, deliveries: &Deliveries, stuck: &StuckViewers) -> (Reasons, Reasons) {
        let counts = &self.tally.counts;
        let dropped = if self.plan.reconnect { deliveries.left } else { sum(&self.tally.drops) };
        let rows = [
            ("join failures", sum(&self.tally.join_failures)),
            ("lost", deliveries.lost),
            ("duplicates", counts.duplicates),
            ("inversions", counts.inversions),
            ("disagreements", counts.disagreements),
            ("stored twice", counts.stored_twice),
            ("foreign", counts.foreign),
            ("garbage", counts.garbage),
            ("silent resets", counts.silent_resets),
            ("gifts skipped", deliveries.gifts_skipped),
            ("resume failures", sum(&self.tally.resume_failures)),
            ("unfinished", deliveries.unfinished),
            ("refused", posts.refused),
            ("unanswered", posts.unanswered),
            ("dropped", dropped),
            ("signalled", deliveries.signalled),
            ("errors", sum(&self.tally.errors)),
            ("stuck", stuck.alive),
        ];
        let found =
            rows.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count));
        let (tolerated, violations): (BTreeMap<_, _>, BTreeMap<_, _>) =
            found.partition(|(name, _)| self.plan.tolerate.contains(name));
        (violations, tolerated)
    }
}

fn sum(reasons: &Reasons) -> u64 {
    reasons.values().sum()
}

impl Readings {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn costs(&self) -> (Option<ServerCost>, TesterCost, f64) {
        let each = |total: u64, of: u64| if of == 0 { 0.0 } else { total as f64 / of as f64 };
        let delivered = self.delivered[1] - self.delivered[0];
        let cpu_us = self.tester_cpu_us[1] - self.tester_cpu_us[0];
        let tester = TesterCost {
            cpu_us,
            cpu_us_per_delivery: each(cpu_us, delivered),
            cores: each(cpu_us, self.posting_us),
        };
        let server = match self.servers {
            [Some(before), Some(idle), Some(end)] => Some(ServerCost {
                before,
                idle,
                end,
                cpu_us_per_join: each(idle.cpu_us.saturating_sub(before.cpu_us), self.joined),
                cpu_us_per_delivery: each(end.cpu_us.saturating_sub(idle.cpu_us), delivered),
                cores: each(end.cpu_us.saturating_sub(idle.cpu_us), self.posting_us),
                rss_bytes_per_viewer: each(idle.rss_bytes.saturating_sub(before.rss_bytes), self.joined),
            }),
            _ => None,
        };
        (server, tester, each(delivered * 1_000_000, self.posting_us))
    }
}
