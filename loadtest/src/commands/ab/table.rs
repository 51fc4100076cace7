//! The A/B as a Markdown table, beside the figures of the system that this one learned from.

use std::fmt::Write;

use super::{AbReport, Figures, Median};

/// The table, to be pasted into a document.
#[must_use]
pub fn table(report: &AbReport) -> String {
    let ([pods, shards], [streams, watched]) = (report.started, report.streams);
    let AbReport { rate, viewers, seconds, rounds, .. } = report;
    let mut text = format!(
        "{streams} streams × {rate} comments/s of 200 bytes, {viewers} viewers on {watched} of them on each of {pods} \
         pods, {shards} Redis, {seconds} s; medians of {} rounds (range)\n\n\
         | | everything is heard | what is watched is heard | change | the original's |\n|---|---|---|---|---|\n",
        rounds.len(),
    );
    let mut measured = |name: &str, of: fn(&Figures) -> f64, unit: &str, original: &str| {
        let [everything, watched] = report.both(of);
        let cells = [cell(everything, unit), cell(watched, unit), change(everything, watched)];
        row(&mut text, name, cells, original);
    };
    measured("CPU of the pods", |it| it.pods_cores * 100.0, "% of a core", "−66 %");
    measured("memory of the pods", |it| mebibytes(it.pods_rss_bytes), "MiB", "−90 %");
    measured("the same without what an idle pod has", |it| mebibytes(it.pods_grown_bytes), "MiB", "");
    measured("CPU of Redis", |it| it.redis_cores * 100.0, "% of a core", "−50 %");
    measured("bytes out of Redis", |it| mebibytes(it.redis_sent_bytes), "MiB", "");
    measured("p99 of a delivery", |it| it.p99_us as f64 / 1000.0, "ms", "");
    counts(&mut text, report);
    let needed = report.pods_needed();
    let cells =
        [pods.to_string(), format!("{needed:.2}"), format!("to {:.2} of them", needed / f64::from(pods))];
    row(&mut text, "pods for the same viewers, each using as much CPU", cells, "to a third");
    let verdict =
        if report.broken.is_empty() { "every promise held".to_owned() } else { report.broken.join("; ") };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\n{verdict}");
    text
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// What came of streams that nobody watches.
fn counts(text: &mut String, report: &AbReport) {
    let pods = f64::from(report.started[0]);
    let due = report.due as f64;
    let [everything, watched] = report.both(|it| (it.received as f64 - due).max(0.0) / pods);
    let cells = [format!("{:.0}", everything.most), format!("{:.0}", watched.most)];
    let [everything, watched] = cells;
    let unwatched = report.streams[0] - report.streams[1];
    row(
        text,
        &format!("messages a pod received of the {unwatched} unwatched streams"),
        [everything, watched, String::new()],
        "",
    );
    let [everything, watched] = report.both(|it| it.unwatched_heard as f64);
    let cells = [format!("{:.0}", everything.most), format!("{:.0}", watched.most), String::new()];
    row(text, "of these, streams that Redis sends to anybody", cells, "");
}

fn row(text: &mut String, name: &str, [everything, watched, change]: [String; 3], original: &str) {
    let _ = writeln!(text, "| {name} | {everything} | {watched} | {change} | {original} |");
}

fn cell(median: Median, unit: &str) -> String {
    let Median { middle, least, most } = median;
    format!("{middle:.1} {unit} ({least:.1} to {most:.1})")
}

fn change(everything: Median, watched: Median) -> String {
    if everything.middle <= 0.0 {
        return String::new();
    }
    let percent = (watched.middle / everything.middle - 1.0) * 100.0;
    format!("{}{:.0} %", if percent < 0.0 { "−" } else { "+" }, percent.abs())
}
