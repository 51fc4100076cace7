//! What a report says in words and tables.

use super::page::{Page, count, text};
use crate::report::{Quantiles, Reasons, Report, table};

type Rows = Vec<(String, String)>;

/// The verdict and the circumstances.
pub(super) fn head(report: &Report, title: &str, page: &mut Page) {
    let meta = &report.meta;
    let (class, verdict) = if report.ok { ("good", "every promise held") } else { ("bad", "broken") };
    page.raw(format_args!("<header><h1>{} <b class={class}>{verdict}</b></h1>", text(title)));
    if !report.violations.is_empty() {
        page.raw(format_args!("<p class=bad>{}</p>", text(&table::list(&report.violations))));
    }
    page.raw(format_args!(
        "<p>{} · tester {} · pods {} · {} · load before the run {}</p><p><code>{}</code></p></header>",
        text(&meta.date),
        text(&meta.tester),
        text(&if meta.pods.is_empty() { "not asked (--ops)".to_owned() } else { meta.pods.join(", ") }),
        text(&meta.machine),
        text(&meta.load_before),
        text(&meta.command)
    ));
}

/// The objectives as tiles.
pub(super) fn objectives(report: &Report, page: &mut Page) {
    page.raw("<section class=tiles>");
    for judged in &report.slo {
        let (class, sign) = (if judged.met == Some(true) { "good" } else { "bad" }, judged.verdict());
        tile(
            page,
            &judged.what,
            &judged.measured,
            &format!("{}: <b class={class}>{sign}</b>", text(&judged.target)),
        );
    }
    let delivery = &report.latencies.delivery;
    if delivery.samples > 0 {
        tile(
            page,
            "delivery p50 / p99",
            &format!("{} / {}", table::time(delivery.p50_us), table::time(delivery.p99_us)),
            "from the scheduled time",
        );
    }
    tile(
        page,
        "deliveries",
        &format!("{:.0}/s", report.deliveries_per_second),
        &format!("{} in all", count(report.deliveries.delivered)),
    );
    if let Some(server) = &report.server {
        tile(
            page,
            "server CPU a delivery",
            &format!("{:.2} µs", server.cpu_us_per_delivery),
            &format!("{:.0} % of a core", server.cores * 100.0),
        );
    }
    tile(
        page,
        "tester CPU a delivery",
        &format!("{:.2} µs", report.tester.cpu_us_per_delivery),
        &format!("{:.0} % of a core", report.tester.cores * 100.0),
    );
    page.raw("</section>");
}

/// `note` is HTML already.
fn tile(page: &mut Page, name: &str, value: &str, note: &str) {
    page.raw(format_args!(
        "<div><h3>{}</h3><strong>{}</strong><small>{note}</small></div>",
        text(name),
        text(value)
    ));
}

/// All other figures.
pub(super) fn tables(report: &Report, page: &mut Page) {
    page.raw("<div class=tables>");
    table_of(page, "Load", load(report));
    table_of(page, "Posts and deliveries", traffic(report));
    table_of(page, "Checker", checker(report));
    table_of(page, "Closes and errors", ends(report));
    latencies(report, page);
    table_of(page, "CPU and memory", costs(report));
    page.raw("</div>");
}

fn row(name: &str, value: impl std::fmt::Display) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn table_of(page: &mut Page, title: &str, rows: Rows) {
    page.raw(format_args!("<section><h2>{}</h2><table>", text(title)));
    for (name, value) in rows {
        page.raw(format_args!("<tr><th>{}</th><td>{}</td></tr>", text(&name), text(&value)));
    }
    page.raw("</table></section>");
}

fn load(report: &Report) -> Rows {
    let (shape, events) = (&report.shape, &report.events);
    let [streams, watched] = shape.streams;
    let way = if shape.rest { "REST" } else { "WebSocket" };
    let mut rows = vec![
        row("targets", shape.targets.join(", ")),
        row(
            "viewers",
            format!(
                "{} and {} posters, {} resumers",
                count(shape.viewers.into()),
                shape.posters,
                shape.resumers
            ),
        ),
        row("streams", format!("{streams}, {watched} of them watched")),
        row(
            "posting",
            format!(
                "{}/s a stream by {way}, {} bytes, for {} s",
                shape.rate, shape.body_bytes, shape.seconds
            ),
        ),
    ];
    if shape.gifts_per_second > 0.0 {
        rows.push(row("gifts", format!("{}/s a stream", shape.gifts_per_second)));
    }
    rows.extend(events.zipf.map(|zipf| row("audiences", format!("fall as 1/rank^{zipf}"))));
    rows.extend(
        events.raids.iter().map(|raid| {
            row("raid", format!("{} viewers at {} s over {} s", raid.viewers, raid.at, raid.over))
        }),
    );
    rows.extend(events.bursts.iter().map(|burst| {
        row("gifts", format!("{} a stream at {} s over {} s", burst.gifts, burst.at, burst.over))
    }));
    rows.extend(
        events
            .storms
            .iter()
            .map(|storm| row("storm", format!("{} % of the viewers at {} s", storm.share * 100.0, storm.at))),
    );
    rows.extend(
        events.churn.map(|churn| {
            row("switching", format!("{} viewers, each every {} s", churn.viewers, churn.every))
        }),
    );
    rows.extend(events.slow.map(|slow| {
        row("slow", format!("{} viewers at {} bytes a second", slow.viewers, slow.bytes_a_second))
    }));
    if !events.curve.is_empty() {
        let points: Vec<_> =
            events.curve.iter().map(|point| format!("{} at {} s", point.joins_a_minute, point.at)).collect();
        rows.push(row("joins a minute", points.join(", ")));
    }
    rows
}

fn traffic(report: &Report) -> Rows {
    let (posts, deliveries, counts) = (&report.posts, &report.deliveries, &report.counts);
    vec![
        row("posts due", count(posts.offered)),
        row("acked", format!("{}, {} of them again", count(posts.acked), count(counts.acked_again))),
        row("refused, unanswered", format!("{}, {}", count(posts.refused), count(posts.unanswered))),
        row("deliveries expected", count(deliveries.expected)),
        row(
            "delivered",
            format!("{}, {} of them as history", count(deliveries.delivered), count(counts.replayed)),
        ),
        row("frames, reads", format!("{}, {}", count(counts.frames), count(counts.reads))),
        row("bytes", count(counts.bytes)),
    ]
}

fn checker(report: &Report) -> Rows {
    let (deliveries, counts) = (&report.deliveries, &report.counts);
    let mut rows = vec![
        row(
            "lost",
            format!(
                "{} by {} viewers, up to {}",
                count(deliveries.lost),
                deliveries.losers,
                count(deliveries.most_lost)
            ),
        ),
        row("duplicates", count(counts.duplicates)),
        row("out of order", count(counts.inversions)),
        row("disagreements", count(counts.disagreements)),
        row("stored twice, foreign", format!("{}, {}", count(counts.stored_twice), count(counts.foreign))),
        row("garbage", count(counts.garbage)),
        row(
            "told as left out",
            format!(
                "{} by {} skipped, {} gap",
                count(deliveries.signalled),
                count(counts.skips),
                count(counts.gaps)
            ),
        ),
        row("resets, silent ones", format!("{}, {}", counts.resets, counts.silent_resets)),
    ];
    if let Some(slow) = &report.slow {
        rows.push(row(
            "slow viewers",
            format!(
                "{} of {} delivered, {} told as left out, {} lost",
                count(slow.delivered),
                count(slow.expected),
                count(slow.signalled),
                slow.lost
            ),
        ));
    }
    rows
}

fn ends(report: &Report) -> Rows {
    let counts = &report.counts;
    let mut rows = vec![
        row("joined, resumed", format!("{}, {}", count(counts.joined), count(counts.resumed))),
        row("asked to move", count(counts.moves)),
        row("gone before the end", count(report.deliveries.left)),
    ];
    let mut reasons = |what: &str, reasons: &Reasons| {
        rows.extend(reasons.iter().map(|(reason, number)| row(&format!("{what}: {reason}"), count(*number))));
    };
    reasons("join failed", &report.join_failures);
    reasons("closed", &report.drops);
    reasons("not resumed", &report.resume_failures);
    reasons("post refused", &report.refusals);
    reasons("error", &report.errors);
    reasons("tolerated", &report.tolerated);
    if let Some(slow) = &report.slow {
        reasons("slow viewer closed", &slow.drops);
    }
    let stuck = &report.stuck;
    if stuck.cut + stuck.cut_unnoticed + stuck.alive > 0 {
        let [shortest, longest] = stuck.after_ms.unwrap_or_default();
        let cut = stuck.cut + stuck.cut_unnoticed;
        rows.push(row(
            "never read",
            format!("{cut} cut after {shortest} to {longest} ms, {} alive", stuck.alive),
        ));
    }
    rows
}

fn latencies(report: &Report, page: &mut Page) {
    page.raw("<section><h2>Latencies</h2><table class=numbers><tr><th></th><td>p50</td><td>p99</td><td>p99.9</td><td>max</td><td>samples</td></tr>");
    let all = &report.latencies;
    for (name, of) in [
        ("delivery", &all.delivery),
        ("ack", &all.ack),
        ("join", &all.join),
        ("tester's lateness", &all.lateness),
    ] {
        let Quantiles { samples, p50_us, p99_us, p999_us, max_us } = of;
        page.raw(format_args!("<tr><th>{name}</th>"));
        for us in [p50_us, p99_us, p999_us, max_us] {
            page.raw(format_args!(
                "<td>{}</td>",
                if *samples == 0 { "–".to_owned() } else { table::time(*us) }
            ));
        }
        page.raw(format_args!("<td>{}</td></tr>", count(*samples)));
    }
    page.raw("</table></section>");
}

fn costs(report: &Report) -> Rows {
    let mut rows = Vec::new();
    if let Some(server) = &report.server {
        let mebibytes = |bytes: u64| format!("{:.1} MiB", table::mebibytes(bytes));
        rows.push(row("servers, a delivery", format!("{:.2} µs", server.cpu_us_per_delivery)));
        rows.push(row("servers, a join", format!("{:.1} µs", server.cpu_us_per_join)));
        rows.push(row("servers while posting", format!("{:.1} % of a core", server.cores * 100.0)));
        rows.push(row(
            "servers' RSS before, idle, end",
            [server.before, server.idle, server.end].map(|usage| mebibytes(usage.rss_bytes)).join(", "),
        ));
        rows.push(row("RSS a viewer, idle", format!("{:.0} bytes", server.rss_bytes_per_viewer)));
    }
    if let Some(redis) = &report.redis {
        rows.push(row("Redis, a post", format!("{:.2} µs", redis.cpu_us_per_post)));
        rows.push(row("Redis while posting", format!("{:.1} % of a core", redis.cores * 100.0)));
    }
    let tester = &report.tester;
    rows.push(row("tester, a delivery", format!("{:.2} µs", tester.cpu_us_per_delivery)));
    rows.push(row("tester while posting", format!("{:.1} % of a core", tester.cores * 100.0)));
    rows.push(row("tester's processes", report.processes));
    rows
}
