//! Which charts a report has.

use super::{
    chart::{Axis, Chart, Line, Scale},
    page::Page,
};
use crate::report::{Report, Sample};

const SECONDS: Axis = Axis { scale: Scale::Linear, unit: " s" };

/// All charts, two beside each other where there is room.
pub(super) fn all(report: &Report, page: &mut Page) {
    page.raw("<div class=charts>");
    for chart in
        [traffic(report), latency(report), late(report), viewers(report), cpu(report), memory(report)]
    {
        chart.draw(page);
    }
    page.raw("</div>");
}

fn over_time(report: &Report, of: impl Fn(&Sample) -> Option<f64>) -> Vec<[f64; 2]> {
    report.series.iter().filter_map(|sample| Some([sample.at_s, of(sample)?])).collect()
}

fn solid(name: &str, points: Vec<[f64; 2]>) -> Line {
    Line { name: name.to_owned(), points, dashed: false }
}

fn traffic(report: &Report) -> Chart {
    let offered = over_time(report, |sample| Some(sample.offered));
    Chart {
        title: "Delivered against offered",
        note: "Deliveries a second. Offered: the posts due in a stream times those who watch it.".to_owned(),
        x: SECONDS,
        y: Axis { scale: Scale::Linear, unit: "/s" },
        lines: vec![
            solid("delivered", over_time(report, |sample| Some(sample.delivered))),
            Line { dashed: true, ..solid("offered", offered) },
        ],
        level: None,
    }
}

fn latency(report: &Report) -> Chart {
    let curves = &report.curves;
    let milliseconds = |curve: &[[f64; 2]]| curve.iter().map(|[at, us]| [*at, us / 1e3]).collect::<Vec<_>>();
    let lines = [("delivery", &curves.delivery), ("ack", &curves.ack), ("join", &curves.join)];
    let lines = lines.into_iter().filter(|(_, curve)| !curve.is_empty());
    Chart {
        title: "Latency by percentile",
        note: "Delivery and ack from the post's scheduled time, join from the start of the connection or its time."
            .to_owned(),
        x: Axis { scale: Scale::Nines, unit: "" },
        y: Axis { scale: Scale::Log, unit: " ms" },
        lines: lines.map(|(name, curve)| solid(name, milliseconds(curve))).collect(),
        level: objective(report),
    }
}

fn objective(report: &Report) -> Option<(f64, String)> {
    let judged = report.slo.first()?;
    let ms = judged.target.rsplit_once("within ")?.1.strip_suffix(" ms")?.parse().ok()?;
    Some((ms, format!("objective of deliveries: {}", judged.target)))
}

fn late(report: &Report) -> Chart {
    let p99 = over_time(report, |sample| (sample.late_p99_ms > 0.0).then_some(sample.late_p99_ms));
    Chart {
        title: "Delivery p99 over time",
        note: "Of the deliveries between two readings.".to_owned(),
        x: SECONDS,
        y: Axis { scale: Scale::Log, unit: " ms" },
        lines: vec![solid("p99", p99)],
        level: objective(report),
    }
}

fn viewers(report: &Report) -> Chart {
    Chart {
        title: "Viewers, joins and closes",
        note: "Joins a second with those who connect again; closes a second that the tester did not make."
            .to_owned(),
        x: SECONDS,
        y: Axis { scale: Scale::Linear, unit: "" },
        lines: vec![
            solid("connected", over_time(report, |sample| Some(to_f64(sample.open)))),
            solid("joins/s", over_time(report, |sample| Some(sample.joins))),
            solid("closes/s", over_time(report, |sample| Some(sample.drops))),
        ],
        level: None,
    }
}

fn cpu(report: &Report) -> Chart {
    Chart {
        title: "CPU of each process",
        note: "As a share of one core, from /proc; 10 ms is the kernel's tick.".to_owned(),
        x: SECONDS,
        y: Axis { scale: Scale::Linear, unit: " %" },
        lines: each_process(report, |sample, index| sample.cores.get(index).map(|cores| cores * 100.0)),
        level: None,
    }
}

fn memory(report: &Report) -> Chart {
    Chart {
        title: "Resident memory of each process",
        note: "From /proc.".to_owned(),
        x: SECONDS,
        y: Axis { scale: Scale::Linear, unit: " MiB" },
        lines: each_process(report, |sample, index| sample.rss_mib.get(index).copied()),
        level: None,
    }
}

fn each_process(report: &Report, of: impl Fn(&Sample, usize) -> Option<f64>) -> Vec<Line> {
    let names = report.watched_processes.iter().enumerate();
    names.map(|(index, name)| solid(name, over_time(report, |sample| of(sample, index)))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn to_f64(count: u64) -> f64 {
    count as f64
}
