//! The report as lines of text: those of a run, and one a process.

use std::fmt::Write;

use super::{LocalReport, Member, PodCounts, ProcessCost, ShardCounts};
use crate::report::table;

/// The table that ends a run over a fleet of its own.
#[must_use]
pub fn table(report: &LocalReport) -> String {
    let measured = &report.measured;
    let mut text = table::report(&measured.run);
    for Member { cost, counts } in measured.pods.iter().chain(&measured.poster) {
        row(&mut text, cost, &counts.map_or_else(String::new, pod));
    }
    for Member { cost, counts } in &measured.shards {
        row(&mut text, cost, &counts.map_or_else(String::new, shard));
    }
    for cost in measured.costs() {
        if let Some(died) = &cost.died {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:<24} died: it {died}", cost.name);
        }
    }
    text
}

fn row(text: &mut String, cost: &ProcessCost, counts: &str) {
    let ProcessCost { name, cores, peak_cores, .. } = cost;
    let _ = writeln!(
        text,
        "{name:<24} {:.1} % of a core ({:.1} at most), RSS {:.1} MiB before, {:.1} idle, {:.1} at most{counts}",
        cores * 100.0,
        peak_cores * 100.0,
        mebibytes(cost.rss_before_bytes),
        mebibytes(cost.rss_idle_bytes),
        mebibytes(cost.rss_peak_bytes),
    );
}

fn pod(counts: PodCounts) -> String {
    let PodCounts { subscriptions, received, unwatched } = counts;
    format!("; {subscriptions} subscriptions, {received} messages, {unwatched} of them unwatched")
}

fn shard(counts: ShardCounts) -> String {
    let each = counts.calls_us as f64 / counts.calls.max(1) as f64;
    format!("; {} calls of {each:.1} µs, {:.1} MiB sent", counts.calls, mebibytes(counts.output_bytes))
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
