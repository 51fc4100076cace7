//! What came of it, as a table, and the verdict.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{Kind, Struck, watcher::Tally};
use crate::checker::{Breach, Ledger, Outcome, Posted, Rule, Told};

/// A run, and what the checker needs.
pub struct Report {
    pub(super) seed: u64,
    pub(super) viewers: usize,
    pub(super) took: Duration,
    pub(super) struck: Vec<Struck>,
    pub(super) ledger: Ledger,
    pub(super) tally: Arc<Tally>,
}

/// Of several times: how many, the median, the longest.
fn summary(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    match times.last() {
        Some(longest) => {
            format!("{:.2} s, {:.2} s", times[times.len() / 2].as_secs_f64(), longest.as_secs_f64())
        }
        None => "–".to_owned(),
    }
}

/// One line about a fault.
pub(super) fn line(struck: &Struck) -> String {
    let names: Vec<_> = struck
        .faults
        .iter()
        .map(|fault| {
            let held = fault.hold.as_secs_f64();
            format!("{} (s{}, pod-{}, {held:.1} s)", fault.kind.name(), fault.shard, fault.place)
        })
        .collect();
    let time =
        |time: Option<Duration>| time.map_or("–".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()));
    let (noticed, healed) = (time(struck.noticed), time(struck.healed));
    format!("{}: noticed {noticed}, healed {healed}, {} sockets lost", names.join(" + "), struck.lost)
}

impl Report {
    /// Prints the table; returns what was broken.
    pub(super) fn print(&self) -> Vec<Breach> {
        let mut rows: BTreeMap<Option<Kind>, Vec<&Struck>> = BTreeMap::new();
        for struck in &self.struck {
            let kind = if let [fault] = &struck.faults[..] { Some(fault.kind) } else { None };
            rows.entry(kind).or_default().push(struck);
        }
        println!(
            "\n| fault | times | noticed: median, longest | healed: median, longest | sockets lost a viewer |"
        );
        println!("|---|---|---|---|---|");
        for (kind, row) in &rows {
            let name = kind.map_or("two at once", Kind::name);
            let noticed = summary(row.iter().filter_map(|struck| struck.noticed).collect());
            let healed = summary(row.iter().filter_map(|struck| struck.healed).collect());
            let lost = row.iter().map(|struck| struck.lost).sum::<u64>() as f64 / self.viewers as f64;
            println!("| {name} | {} | {noticed} | {healed} | {lost:.2} |", row.len());
        }
        self.print_totals()
    }

    fn print_totals(&self) -> Vec<Breach> {
        let breaches = self.ledger.breaches();
        let broken = |rules: &[Rule]| breaches.iter().filter(|breach| rules.contains(&breach.rule)).count();
        let (watches, posts) = (&self.ledger.watches, &self.ledger.posts);
        let told = |wanted: fn(&Told) -> bool| -> usize {
            watches.iter().map(|watch| watch.told.iter().skip(1).filter(|told| wanted(told)).count()).sum()
        };
        let (holes, resets) =
            (told(|told| matches!(told, Told::Hole(_))), told(|told| matches!(told, Told::Reset(_))));
        let acked = posts.iter().filter(|post| post.is_acked()).count();
        let repeated = posts
            .iter()
            .filter(|post| matches!(post.outcome, Outcome::Acked { duplicate: true, .. }))
            .count();
        let (lost, moves) = (self.tally.lost.load(Relaxed), self.tally.moves.load(Relaxed));
        let a_viewer = |count: u64| count as f64 / self.viewers as f64;
        println!(
            "\nseed {}: {} faults in {:.0} s; {} viewers, {acked} posts acked ({repeated} of them by a repetition), \
             {} attempts unanswered, {} deliveries",
            self.seed,
            self.struck.iter().map(|struck| struck.faults.len()).sum::<usize>(),
            self.took.as_secs_f64(),
            self.viewers,
            posts.len() - acked,
            self.tally.deliveries.load(Relaxed),
        );
        println!(
            "unsignalled loss {} (C1, C2), duplicates {} (C3), disagreements {} (C4), inversions {} (C5), inventions {} \
             (C6), left behind {} (C7)",
            broken(&[Rule::C1, Rule::C2]),
            broken(&[Rule::C3]),
            broken(&[Rule::C4]),
            broken(&[Rule::C5]),
            broken(&[Rule::C6]),
            broken(&[Rule::C7]),
        );
        println!(
            "told to viewers: {holes} holes, {resets} resets; sockets lost a viewer {:.1}, moves a viewer {:.1}",
            a_viewer(lost),
            a_viewer(moves),
        );
        breaches
    }

    /// Prints everything and fails if a promise was broken, or a fault not healed in time.
    pub fn assert_kept(&self, heals_within: Duration) {
        let breaches = self.print();
        breaches.iter().take(20).for_each(|breach| println!("  {breach}"));
        let slow: Vec<_> =
            self.struck.iter().filter(|one| one.healed.is_none_or(|healed| healed > heals_within)).collect();
        slow.iter().for_each(|one| println!("not healed within {heals_within:?}: {}", line(one)));
        assert!(breaches.is_empty() && slow.is_empty(), "again with CHAOS_SEED={}", self.seed);
        let acked = self.ledger.posts.iter().any(Posted::is_acked);
        assert!(acked && !self.struck.is_empty(), "something happened");
    }
}
