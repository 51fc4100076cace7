//! The report as lines of text: those of a run, and one a process.

use std::fmt::Write;

use super::{LocalReport, PodCounts, ProcessCost, ShardCounts};
use crate::table;

/// The table that ends a run over a fleet of its own.
#[must_use]
pub fn table(report: &LocalReport) -> String {
    let measured = &report.measured;
    let mut text = table::report(&measured.run);
    let (pods, shards) = measured.processes.split_at(measured.pods.len().min(measured.processes.len()));
    for (process, counts) in pods.iter().zip(&measured.pods) {
        row(&mut text, process, &counts.map_or_else(String::new, pod));
    }
    for (process, counts) in shards.iter().zip(&measured.shards) {
        row(&mut text, process, &counts.map_or_else(String::new, shard));
    }
    for process in &measured.processes {
        if let Some(died) = &process.died {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:<24} died: it {died}", process.name);
        }
    }
    text
}

fn row(text: &mut String, process: &ProcessCost, counts: &str) {
    let ProcessCost { name, cores, peak_cores, .. } = process;
    let _ = writeln!(
        text,
        "{name:<24} {:.1} % of a core ({:.1} at most), RSS {:.1} MiB before, {:.1} idle, {:.1} at most{counts}",
        cores * 100.0,
        peak_cores * 100.0,
        mebibytes(process.rss_before_bytes),
        mebibytes(process.rss_idle_bytes),
        mebibytes(process.rss_peak_bytes),
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
