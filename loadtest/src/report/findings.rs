//! From what was counted and read to the report: figures, objectives, verdict.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Curves, Deliveries, Latencies, Posts, Reasons, RedisCost, Report, Sample, ServerCost, Shape, SlowViewers,
    StuckViewers, TesterCost, Usage, meta::Meta,
};
use crate::{
    check::{
        checker::Balance,
        slo::{Judged, Objective},
        tally::{RUN_ENDED, Spread, Tallies, Tally},
    },
    drive::{
        non_reading::Cuts,
        plan::{Plan, Posting, Target},
    },
};

/// The sum of the balances, and who did not stay.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) balance: Balance,
    pub(crate) losers: u64,
    pub(crate) most_lost: u64,
    pub(crate) acked_unseen: u64,
    pub(crate) left: u64,
    pub(crate) unfinished: u64,
    /// Of the viewers that read slowly, who are in none of the others.
    pub(crate) slow: Balance,
}

impl Account {
    pub(crate) fn add(&mut self, other: &Self) {
        self.balance.add(&other.balance);
        self.slow.add(&other.slow);
        self.most_lost = self.most_lost.max(other.most_lost);
        self.losers += other.losers;
        self.acked_unseen += other.acked_unseen;
        self.left += other.left;
        self.unfinished += other.unfinished;
    }
}

/// Readings at the moments of a run: before the first viewer, with all, after the last delivery.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    pub(crate) servers: [Option<Usage>; 3],
    pub(crate) redis: [Option<Usage>; 3],
    pub(crate) tester_cpu_us: u64,
    pub(crate) delivered: u64,
    pub(crate) posting_us: u64,
    pub(crate) joined: u64,
}

/// Everything that a report is made of.
pub(crate) struct Findings<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) meta: Meta,
    pub(crate) run: u32,
    pub(crate) processes: u16,
    pub(crate) offered: u64,
    pub(crate) tallies: Tallies,
    pub(crate) account: Account,
    pub(crate) cuts: Cuts,
    pub(crate) readings: Readings,
    pub(crate) series: Vec<Sample>,
}

impl Findings<'_> {
    /// Draws up the report.
    pub(crate) fn report(self) -> Report {
        let mut tally = Tally::default();
        tally.add(&self.tallies.steady);
        tally.add(&self.tallies.moving);
        let (posts, deliveries, stuck) = (self.posts(&tally), self.deliveries(&tally), self.stuck());
        let slow = self.slow();
        let slo = self.objectives(&tally, &deliveries);
        let found = self.found(&tally, &posts, &deliveries, &stuck);
        let (tolerated, violations): (BTreeMap<_, _>, BTreeMap<_, _>) =
            found.partition(|(name, _)| self.plan.tolerate.contains(name));
        let (server, tester, deliveries_per_second) = self.readings.costs();
        Report {
            ok: violations.is_empty(),
            violations,
            tolerated,
            shape: self.shape(),
            posts,
            deliveries,
            deliveries_per_second,
            counts: tally.counts,
            latencies: Latencies {
                delivery: tally.delivery.quantiles(),
                ack: tally.ack.quantiles(),
                join: tally.join.quantiles(),
                lateness: tally.lateness.quantiles(),
            },
            curves: Curves {
                delivery: tally.delivery.curve(),
                ack: tally.ack.curve(),
                join: tally.join.curve(),
            },
            join_failures: tally.join_failures,
            drops: tally.drops,
            resume_failures: tally.resume_failures,
            refusals: tally.refusals,
            errors: tally.errors,
            stuck,
            server,
            tester,
            slo,
            events: self.plan.events.clone(),
            processes: self.processes,
            slow,
            redis: self.readings.redis_cost(posts.acked),
            watched_processes: self.plan.watched_names(),
            series: self.series,
            meta: self.meta,
        }
    }

    fn shape(&self) -> Shape {
        let plan = self.plan;
        Shape {
            targets: plan.targets.iter().map(Target::to_string).collect(),
            run: format!("{:08x}", self.run),
            viewers: plan.viewers,
            posters: plan.posters(),
            resumers: plan.resumers,
            streams: [plan.streams, plan.watched],
            rate: plan.rate,
            gifts_per_second: plan.gifts_per_second,
            seconds: plan.seconds,
            body_bytes: plan.body_bytes,
            rest: plan.posting == Posting::Rest,
        }
    }

    fn posts(&self, tally: &Tally) -> Posts {
        let (acked, refused) = (tally.counts.acked, sum(&tally.refusals));
        Posts {
            offered: self.offered,
            acked,
            refused,
            unanswered: self.offered.saturating_sub(acked + refused),
        }
    }

    fn deliveries(&self, tally: &Tally) -> Deliveries {
        let Account { balance, losers, most_lost, acked_unseen, left, unfinished, .. } = self.account;
        Deliveries {
            expected: balance.expected,
            delivered: tally.counts.delivered,
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

    fn slow(&self) -> Option<SlowViewers> {
        self.plan.events.slow?;
        let (tally, balance) = (&self.tallies.slow, self.account.slow);
        Some(SlowViewers {
            viewers: tally.counts.joined,
            expected: balance.expected,
            delivered: tally.counts.delivered,
            signalled: balance.signalled,
            lost: balance.lost,
            gifts_skipped: balance.gifts_skipped,
            duplicates: tally.counts.duplicates,
            resumed: tally.counts.resumed,
            drops: tally.drops.clone(),
        })
    }

    /// What is no promise kept, and how often.
    fn found(
        &self,
        tally: &Tally,
        posts: &Posts,
        deliveries: &Deliveries,
        stuck: &StuckViewers,
    ) -> impl Iterator<Item = (String, u64)> + use<> {
        let (slow, slow_owes) = (&self.tallies.slow, self.account.slow);
        let mut counts = tally.counts;
        counts.add(&slow.counts);
        let dropped = if self.plan.reconnect { deliveries.left } else { sum(&tally.drops) };
        let failed = |of: fn(&Tally) -> &Reasons| sum(of(tally)) + sum(of(slow));
        // Slow viewers are closed and come back all the time, so some are about to when the run ends.
        let cut_short = slow.resume_failures.get(RUN_ENDED).copied().unwrap_or(0);
        let limit = self.plan.slo;
        let beyond = |count: u64, allowed: u64| if count > allowed { count } else { 0 };
        let late = |spread: &Spread, objective: Objective| {
            let late = spread.later_than(objective.ms * 1000);
            if spread.share_within(objective.ms * 1000) < objective.share { late } else { 0 }
        };
        let rows = [
            // Whatever is tolerated: a target that nobody could join was not tested.
            ("nobody joined", u64::from(self.plan.all_sockets() > 0 && counts.joined == 0)),
            ("join failures", failed(|tally| &tally.join_failures)),
            ("lost", beyond(deliveries.lost + slow_owes.lost, limit.lost)),
            ("duplicates", beyond(counts.duplicates, limit.duplicates)),
            ("inversions", counts.inversions),
            ("disagreements", counts.disagreements),
            ("stored twice", counts.stored_twice),
            ("foreign", counts.foreign),
            ("garbage", counts.garbage),
            ("silent resets", counts.silent_resets),
            ("gifts skipped", deliveries.gifts_skipped + slow_owes.gifts_skipped),
            ("resume failures", failed(|tally| &tally.resume_failures) - cut_short),
            ("unfinished", deliveries.unfinished),
            ("refused", posts.refused),
            ("unanswered", posts.unanswered),
            ("dropped", dropped),
            ("signalled", deliveries.signalled),
            ("errors", failed(|tally| &tally.errors)),
            ("stuck", stuck.alive),
            ("late", late(&tally.delivery, limit.deliver)),
            ("late joins", late(&tally.join, limit.join)),
        ];
        rows.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count))
    }

    fn objectives(&self, tally: &Tally, deliveries: &Deliveries) -> Vec<Judged> {
        let slo = self.plan.slo;
        let lost = deliveries.lost + self.account.slow.lost;
        let was_due = deliveries.expected + self.account.slow.expected > 0;
        let duplicates = tally.counts.duplicates + self.tallies.slow.counts.duplicates;
        vec![
            in_time("deliveries in time", &tally.delivery, slo.deliver),
            in_time("joins in time", &tally.join, slo.join),
            at_most("lost", was_due.then_some(lost), slo.lost),
            at_most("duplicates", was_due.then_some(duplicates), slo.duplicates),
        ]
    }
}

fn in_time(what: &str, spread: &Spread, objective: Objective) -> Judged {
    let value = spread.share_within(objective.ms * 1000);
    let samples = spread.quantiles().samples;
    Judged {
        what: what.to_owned(),
        target: format!("{} % within {} ms", objective.share * 100.0, objective.ms),
        measured: if samples == 0 { "none".to_owned() } else { format!("{:.3} %", value * 100.0) },
        value,
        met: (samples > 0).then_some(value >= objective.share),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn at_most(what: &str, count: Option<u64>, allowed: u64) -> Judged {
    Judged {
        what: what.to_owned(),
        target: if allowed == 0 { "none".to_owned() } else { format!("at most {allowed}") },
        measured: count.map_or_else(|| "none".to_owned(), |count| count.to_string()),
        value: count.unwrap_or(0) as f64,
        met: count.map(|count| count <= allowed),
    }
}

fn sum(reasons: &Reasons) -> u64 {
    reasons.values().sum()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn each(total: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { total as f64 / of as f64 }
}

impl Readings {
    fn costs(&self) -> (Option<ServerCost>, TesterCost, f64) {
        let cpu_us = self.tester_cpu_us;
        let tester = TesterCost {
            cpu_us,
            cpu_us_per_delivery: each(cpu_us, self.delivered),
            cores: each(cpu_us, self.posting_us),
        };
        let server = match self.servers {
            [Some(before), Some(idle), Some(end)] => Some(ServerCost {
                before,
                idle,
                end,
                cpu_us_per_join: each(idle.cpu_us.saturating_sub(before.cpu_us), self.joined),
                cpu_us_per_delivery: each(end.cpu_us.saturating_sub(idle.cpu_us), self.delivered),
                cores: each(end.cpu_us.saturating_sub(idle.cpu_us), self.posting_us),
                rss_bytes_per_viewer: each(idle.rss_bytes.saturating_sub(before.rss_bytes), self.joined),
            }),
            _ => None,
        };
        (server, tester, each(self.delivered * 1_000_000, self.posting_us))
    }

    fn redis_cost(&self, posts: u64) -> Option<RedisCost> {
        let [_, Some(idle), Some(end)] = self.redis else { return None };
        let cpu_us = end.cpu_us.saturating_sub(idle.cpu_us);
        Some(RedisCost {
            cpu_us_per_post: each(cpu_us, posts),
            cores: each(cpu_us, self.posting_us),
            end_bytes: end.rss_bytes,
        })
    }
}
