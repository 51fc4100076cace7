//! The report as lines of text.

use std::fmt::Write;

use super::{
    Quantiles, Reasons, Report, Usage,
    progress::{Progress, Stage},
};

/// Signs of a whole bar.
const BAR: usize = 24;

/// One line of progress with a bar.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the bar")]
pub fn progress(now: &Progress) -> String {
    let Progress { stage, done, seconds, joined, offered, acked, delivered, p99_us } = now;
    let stage = match stage {
        Stage::Joining => "joining",
        Stage::Posting => "posting",
        Stage::Draining => "waiting",
    };
    let full = ((done * 24.0) as usize).min(BAR);
    let bar = "█".repeat(full) + &"░".repeat(BAR - full);
    format!(
        "{stage} {bar} {seconds:5.1} s  joined {joined}  posts {acked}/{offered}  delivered {delivered}  p99 {}",
        time(*p99_us)
    )
}

/// The table that ends a run.
pub fn report(report: &Report) -> String {
    let mut table = Table::default();
    shape(report, &mut table);
    traffic(report, &mut table);
    stuck(report, &mut table);
    let latencies = &report.latencies;
    table.row("delivery, from schedule", quantiles(&latencies.delivery));
    table.row("ack, from schedule", quantiles(&latencies.ack));
    table.row("join", quantiles(&latencies.join));
    table.row("tester's lateness", quantiles(&latencies.lateness));
    costs(report, &mut table);
    for (name, reasons) in [
        ("join failures", &report.join_failures),
        ("drops", &report.drops),
        ("resume failures", &report.resume_failures),
        ("refusals", &report.refusals),
        ("errors", &report.errors),
        ("tolerated", &report.tolerated),
    ] {
        if !reasons.is_empty() {
            table.row(name, list(reasons));
        }
    }
    objectives(report, &mut table);
    let verdict = if report.ok {
        "every promise held".to_owned()
    } else {
        format!("BROKEN: {}", list(&report.violations))
    };
    table.row("verdict", verdict);
    table.0
}

/// Lines of a name and a value each.
#[derive(Default)]
pub(crate) struct Table(pub(crate) String);

impl Table {
    pub(crate) fn row(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name:<24} {value}");
    }
}

fn shape(report: &Report, table: &mut Table) {
    let shape = &report.shape;
    let [streams, watched] = shape.streams;
    table.row("target", shape.targets.join(", "));
    table.row(
        "sockets",
        format!(
            "{} viewers, {} posters, {} resumers on {watched} of {streams} streams (run {})",
            shape.viewers, shape.posters, shape.resumers, shape.run
        ),
    );
    let way = if shape.rest { "REST" } else { "WebSocket" };
    table.row(
        "posting",
        format!(
            "{}/s a stream by {way}, {} gifts/s, {} bytes, {} s",
            shape.rate, shape.gifts_per_second, shape.body_bytes, shape.seconds
        ),
    );
}

fn traffic(report: &Report, table: &mut Table) {
    let (posts, deliveries, counts) = (&report.posts, &report.deliveries, &report.counts);
    table.row(
        "posts",
        format!(
            "offered {}, acked {} ({} again), refused {}, unanswered {}",
            posts.offered, posts.acked, counts.acked_again, posts.refused, posts.unanswered
        ),
    );
    table.row(
        "deliveries",
        format!(
            "expected {}, delivered {} ({} as history), {:.0}/s, {:.1} a read",
            deliveries.expected,
            deliveries.delivered,
            counts.replayed,
            report.deliveries_per_second,
            ratio(deliveries.delivered, counts.reads)
        ),
    );
    table.row(
        "checker",
        format!(
            "lost {} ({} viewers, up to {}), duplicates {}, inversions {}, disagreements {}, twice {}, foreign {}, garbage {}, silent resets {}",
            deliveries.lost,
            deliveries.losers,
            deliveries.most_lost,
            counts.duplicates,
            counts.inversions,
            counts.disagreements,
            counts.stored_twice,
            counts.foreign,
            counts.garbage,
            counts.silent_resets
        ),
    );
    table.row(
        "signalled",
        format!(
            "{} entries by {} skipped, {} gap; {} reset, {} reconnect; {} resumed, {} left",
            deliveries.signalled,
            counts.skips,
            counts.gaps,
            counts.resets,
            counts.moves,
            counts.resumed,
            deliveries.left
        ),
    );
}

fn stuck(report: &Report, table: &mut Table) {
    let stuck = &report.stuck;
    if stuck.cut + stuck.cut_unnoticed + stuck.alive > 0 {
        let [shortest, longest] = stuck.after_ms.unwrap_or_default();
        table.row(
            "stuck viewers",
            format!(
                "{} cut after {shortest} to {longest} ms ({}), {} cut unnoticed, {} alive",
                stuck.cut,
                list(&stuck.signs),
                stuck.cut_unnoticed,
                stuck.alive
            ),
        );
    }
}

fn costs(report: &Report, table: &mut Table) {
    if let Some(server) = &report.server {
        table.row(
            "server CPU",
            format!(
                "{:.2} µs a delivery, {:.1} % of a core, {:.1} µs a join",
                server.cpu_us_per_delivery,
                server.cores * 100.0,
                server.cpu_us_per_join
            ),
        );
        let memory =
            |usage: Usage| format!("{:.1}/{:.1}", mebibytes(usage.rss_bytes), mebibytes(usage.pss_bytes));
        table.row(
            "server RSS/PSS",
            format!(
                "{} MiB before, {} idle with viewers ({:.0} bytes a viewer), {} at the end",
                memory(server.before),
                memory(server.idle),
                server.rss_bytes_per_viewer,
                memory(server.end)
            ),
        );
    }
    if let Some(redis) = &report.redis {
        table.row(
            "Redis CPU",
            format!("{:.2} µs a post, {:.1} % of a core", redis.cpu_us_per_post, redis.cores * 100.0),
        );
    }
    let (tester, processes) = (&report.tester, report.processes);
    table.row(
        "tester CPU",
        format!(
            "{:.2} µs a delivery, {:.1} % of a core, {processes} {}",
            tester.cpu_us_per_delivery,
            tester.cores * 100.0,
            if processes == 1 { "process" } else { "processes" }
        ),
    );
}

fn objectives(report: &Report, table: &mut Table) {
    if let Some(slow) = &report.slow {
        table.row(
            "slow viewers",
            format!(
                "{}: expected {}, delivered {}, told as left out {}, lost {}; {} resumed{}{}",
                slow.viewers,
                slow.expected,
                slow.delivered,
                slow.signalled,
                slow.lost,
                slow.resumed,
                if slow.drops.is_empty() { "" } else { ", " },
                list(&slow.drops)
            ),
        );
    }
    for judged in &report.slo {
        let verdict = judged.verdict();
        table.row(&judged.what, format!("{} ({}): {verdict}", judged.measured, judged.target));
    }
}

fn quantiles(quantiles: &Quantiles) -> String {
    if quantiles.samples == 0 {
        return "none".to_owned();
    }
    format!(
        "p50 {}, p99 {}, p99.9 {}, max {} ({} samples)",
        time(quantiles.p50_us),
        time(quantiles.p99_us),
        time(quantiles.p999_us),
        time(quantiles.max_us),
        quantiles.samples
    )
}

pub(crate) fn list(reasons: &Reasons) -> String {
    let rows: Vec<String> = reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    rows.join(", ")
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
pub(crate) fn time(us: u64) -> String {
    match us {
        0..1000 => format!("{us} µs"),
        1000..10_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
