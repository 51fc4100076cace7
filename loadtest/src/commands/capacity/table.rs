//! The steps as Markdown tables.

use std::fmt::Write;

use super::{CapacityReport, Limit, Small, Step};

/// One step in a line, for whoever waits.
pub(super) fn step(step: &Step) -> String {
    let Step { viewers, deliveries_per_second, p99_ms, broken, .. } = step;
    let verdict = if step.holds() { "holds".to_owned() } else { broken.join(", ") };
    format!("{viewers} viewers, {deliveries_per_second:.0} deliveries/s, p99 {p99_ms:.1} ms: {verdict}")
}

/// The tables, to be pasted into a document.
#[must_use]
pub fn table(report: &CapacityReport) -> String {
    let ([pods, shards], CapacityReport { streams, rate, slo_ms, .. }) = (report.started, report);
    let mut text = format!(
        "{streams} streams × {rate} comments/s of 200 bytes, {pods} pod with viewers, {shards} Redis; the objective: 99 \
         of 100 deliveries within {slo_ms} ms, none lost\n\n\
         | viewers | deliveries/s | p99 | CPU of the pod, Redis, tester | CPU a delivery | objective |\n\
         |---|---|---|---|---|---|\n"
    );
    for step in &report.steps {
        let Step { viewers, deliveries_per_second, p99_ms, us_per_delivery, .. } = step;
        let [pod, redis, tester] =
            [step.pods_cores, step.redis_cores, step.tester_cores].map(|it| it * 100.0);
        let verdict = if step.holds() { "holds".to_owned() } else { step.broken.join(", ") };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {viewers} | {deliveries_per_second:.0} | {p99_ms:.1} ms | {pod:.0} %, {redis:.0} %, {tester:.0} % | \
             {us_per_delivery:.2} µs | {verdict} |"
        );
    }
    let _ = writeln!(text, "\nWhere it breaks: {}.\n", limit(report.limit));
    match report.best() {
        Some(best) => costs(&mut text, best),
        None => text.push_str("The objective held at no step.\n"),
    }
    small(&mut text, &report.small);
    text
}

fn limit(limit: Limit) -> &'static str {
    match limit {
        Limit::NotReached => "it held at every step; --most is the limit",
        Limit::Pods => "the pods have used up their CPU",
        Limit::Redis => "Redis has used up its CPU",
        Limit::Tester => {
            "the tester, and what shares its CPU, has used that up; the pods had CPU left, so this is no limit of theirs"
        }
        Limit::Machine => "nobody has used up a CPU: something else on the machine was in the way",
    }
}

/// What each thing cost at the last step that held.
fn costs(text: &mut String, best: &Step) {
    let of_a_core = |figure: f64| figure / best.pods_cores.max(f64::MIN_POSITIVE);
    let rows = [
        ("viewers a core, at this rate", format!("{:.0}", of_a_core(f64::from(best.viewers)))),
        ("deliveries a second and core", format!("{:.0}", of_a_core(best.deliveries_per_second))),
        ("CPU of a delivery, hearing included", format!("{:.2} µs", best.us_per_delivery)),
        ("CPU of a join", format!("{:.0} µs", best.us_per_join)),
        ("resident memory of a viewer", format!("{:.1} KiB", best.rss_bytes_per_viewer / 1024.0)),
        ("bytes of a delivery", format!("{:.0}", best.bytes_per_delivery)),
        ("CPU of Redis a post", format!("{:.1} µs", best.redis_us_per_post)),
        ("CPU of a pod a post by REST", format!("{:.1} µs", best.poster_us_per_post)),
    ];
    let _ = writeln!(text, "| at {} viewers | |\n|---|---|", best.viewers);
    for (name, figure) in rows {
        let _ = writeln!(text, "| {name} | {figure} |");
    }
}

fn small(text: &mut String, rounds: &[Small]) {
    let mut costs: Vec<f64> = rounds.iter().map(|round| round.us_per_delivery).collect();
    costs.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (costs.first(), costs.last()) else { return };
    let middle = costs[(costs.len() - 1) / 2];
    let broken = if rounds.iter().all(|round| round.ok) { "" } else { " BROKEN: not every promise held." };
    let _ = writeln!(
        text,
        "\n500 streams × 20 viewers at 1 comment/s: {middle:.2} µs of the pod's CPU a delivery, hearing included ({least:.2} \
         to {most:.2}, {} rounds).{broken}",
        rounds.len()
    );
}
