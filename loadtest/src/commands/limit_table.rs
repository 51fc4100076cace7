//! What the plain loop cost, as lines of text.

use std::fmt::Write as _;

use super::limit::LimitReport;
use crate::report::table::{Table, time};

/// The table of the plain loop.
pub fn limit(report: &LimitReport) -> String {
    let mut table = Table::default();
    table.row(
        "plain loop",
        format!(
            "{} sockets, {} frames a write of {} bytes each, {:.1} s{}",
            report.sockets,
            report.frames_per_write,
            report.frame_bytes,
            report.seconds,
            if report.pinned { ", pinned" } else { "" }
        ),
    );
    table.row("deliveries", format!("{} ({:.0}/s)", report.deliveries, report.deliveries_per_second));
    table.row(
        "sender CPU",
        format!("{:.3} µs a delivery, {:.1} % of a core", report.cpu_us_per_delivery, report.cores * 100.0),
    );
    table.row("receiver CPU", format!("{:.3} µs a delivery", report.sink_cpu_us_per_delivery));
    table.row("refused writes", format!("{} (socket full), {} partial", report.blocked, report.partial));
    table.row("longest pause late", time(report.late_us));
    table.0
}

/// The plain loop with several numbers of frames a write, as Markdown.
pub fn limits(reports: &[LimitReport]) -> String {
    let mut table = String::from(
        "| frames a write | CPU a delivery | deliveries/s | share of a core | receiver's CPU | refused | latest |\n|---|---|---|---|---|---|---|\n",
    );
    for report in reports {
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {} | {:.3} µs | {:.0} | {:.1} % | {:.3} µs | {} | {} |",
            report.frames_per_write,
            report.cpu_us_per_delivery,
            report.deliveries_per_second,
            report.cores * 100.0,
            report.sink_cpu_us_per_delivery,
            report.blocked,
            time(report.late_us)
        );
    }
    if let Some(first) = reports.first() {
        let pinned = if first.pinned { ", sender pinned" } else { "" };
        let _ = writeln!(
            table,
            "\n{} sockets, frames of {} bytes, {:.1} s each{pinned}",
            first.sockets, first.frame_bytes, first.seconds
        );
    }
    table
}
