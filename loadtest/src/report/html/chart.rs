//! Line charts as inline SVG; colours come from the page's style, so that they suit light and dark.

use std::fmt::Write;

use super::page::{Page, text};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

/// How values lie along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    Log,
    /// Percentiles: each 9 more is as far as the one before.
    Nines,
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.max(1e-6).log10(),
            Self::Nines => -(1.0 - (value / 100.0).min(1.0 - 1e-6)).log10(),
        }
    }
}

/// An axis with what its numbers are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) scale: Scale,
    pub(super) unit: &'static str,
}

/// One line of a chart.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<[f64; 2]>,
    /// Dashed, beside what it is compared with.
    pub(super) dashed: bool,
}

/// A chart; nothing is drawn when no line has points.
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// One sentence that says how to read it.
    pub(super) note: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    /// A level that matters, with its name.
    pub(super) level: Option<(f64, String)>,
}

/// Where an axis begins and ends, and its ticks, in values.
struct Frame {
    from: f64,
    to: f64,
    ticks: Vec<f64>,
}

impl Frame {
    /// Begins and ends where the points do, when its ticks go beyond.
    fn tight(mut self, points: &[[f64; 2]]) -> Self {
        let all = || points.iter().map(|point| point[0]);
        let first = all().fold(f64::INFINITY, f64::min).max(self.from);
        let last = all().fold(f64::NEG_INFINITY, f64::max).min(self.to);
        if first < last {
            (self.from, self.to) = (first, last);
            self.ticks.retain(|tick| (first..=last).contains(tick));
        }
        self
    }
}

impl Chart {
    pub(super) fn draw(&self, page: &mut Page) {
        let points: Vec<[f64; 2]> = self.lines.iter().flat_map(|line| line.points.iter().copied()).collect();
        if points.len() < 2 {
            return;
        }
        let level = self.level.iter().map(|(level, _)| *level);
        let x = frame(self.x.scale, points.iter().map(|point| point[0])).tight(&points);
        let y = frame(self.y.scale, points.iter().map(|point| point[1]).chain(level));
        page.raw(format_args!("<figure><figcaption>{}</figcaption><p class=legend>", text(self.title)));
        for (number, line) in (1..).zip(&self.lines) {
            let dash = if line.dashed { " dashed" } else { "" };
            page.raw(format_args!("<span><i class=\"k{number}{dash}\"></i>{}</span>", text(&line.name)));
        }
        page.raw(format_args!(
            "</p><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{}\">",
            text(self.title)
        ));
        self.axes(&x, &y, page);
        for (number, line) in (1..).zip(&self.lines) {
            self.line((number, line), &x, &y, page);
        }
        page.raw(format_args!("</svg><p class=note>{}</p></figure>", text(&self.note)));
    }

    fn across(&self, x: &Frame, value: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * share(self.x.scale, x, value)
    }

    fn up(&self, y: &Frame, value: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share(self.y.scale, y, value)
    }

    fn axes(&self, x: &Frame, y: &Frame, page: &mut Page) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in &y.ticks {
            let at = self.up(y, *tick);
            page.raw(format_args!(
                "<line class=grid x1={LEFT} x2={right} y1={at:.1} y2={at:.1} /><text x={:.1} y={:.1} text-anchor=end>{}</text>",
                LEFT - 6.0,
                at + 4.0,
                text(&label(*tick, self.y))
            ));
        }
        for tick in &x.ticks {
            let at = self.across(x, *tick);
            // The last one must not stand out of the picture.
            let anchor = if at > right - 20.0 { "end" } else { "middle" };
            page.raw(format_args!(
                "<line class=tick x1={at:.1} x2={at:.1} y1={bottom} y2={:.1} /><text x={at:.1} y={:.1} text-anchor={anchor}>{}</text>",
                bottom + 4.0,
                bottom + 18.0,
                text(&label(*tick, self.x))
            ));
        }
        page.raw(format_args!("<line class=axis x1={LEFT} x2={right} y1={bottom} y2={bottom} />"));
        if let Some((level, name)) = &self.level {
            let at = self.up(y, *level);
            page.raw(format_args!(
                "<line class=level x1={LEFT} x2={right} y1={at:.1} y2={at:.1} /><text class=level x={:.1} y={:.1}>{}</text>",
                LEFT + 6.0,
                at - 5.0,
                text(name)
            ));
        }
    }

    fn line(&self, (number, line): (usize, &Line), x: &Frame, y: &Frame, page: &mut Page) {
        let mut path = String::new();
        for [across, up] in &line.points {
            let step = if path.is_empty() { 'M' } else { 'L' };
            // Writing to a string cannot fail.
            let _ = write!(path, "{step}{:.1} {:.1}", self.across(x, *across), self.up(y, *up));
        }
        let dash = if line.dashed { " dashed" } else { "" };
        page.raw(format_args!("<path class=\"l{number}{dash}\" d=\"{path}\"/>"));
    }
}

fn share(scale: Scale, frame: &Frame, value: f64) -> f64 {
    let (from, to) = (scale.place(frame.from), scale.place(frame.to));
    ((scale.place(value) - from) / (to - from).max(1e-9)).clamp(0.0, 1.0)
}

fn frame(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Frame {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    match scale {
        Scale::Linear => linear(low.min(0.0), high),
        Scale::Log => log(low, high),
        Scale::Nines => {
            let all = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999];
            let beyond = all.iter().position(|tick| *tick >= high).unwrap_or(all.len() - 1);
            Frame { from: 0.0, to: all[beyond.max(1)], ticks: all[..=beyond.max(1)].to_vec() }
        }
    }
}

/// About five ticks at 1, 2 or 5 times a power of ten.
fn linear(low: f64, high: f64) -> Frame {
    let span = (high - low).max(1e-9);
    let rough = span / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let (first, last) = ((low / step).floor(), (high / step - 1e-9).ceil().max((low / step).floor() + 1.0));
    let mut ticks = Vec::new();
    let mut at = first;
    while at <= last && ticks.len() < 12 {
        ticks.push(at * step);
        at += 1.0;
    }
    Frame { from: first * step, to: last * step, ticks }
}

/// Whole powers of ten; with 2 and 5 between them when these are few.
fn log(low: f64, high: f64) -> Frame {
    let (first, last) = (low.max(1e-3).log10().floor(), (high.max(1e-3).log10() - 1e-9).ceil());
    let last = last.max(first + 1.0);
    let mut ticks = Vec::new();
    let mut power = first;
    while power < last && ticks.len() < 40 {
        let between: &[f64] = if last - first <= 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        ticks.extend(between.iter().map(|times| times * 10f64.powf(power)));
        power += 1.0;
    }
    let to = 10f64.powf(last);
    ticks.push(to);
    Frame { from: 10f64.powf(first), to, ticks }
}

/// A tick in few signs.
fn label(value: f64, axis: Axis) -> String {
    if axis.scale == Scale::Nines {
        return if value == 0.0 { "0".to_owned() } else { format!("{value} %") };
    }
    let (scaled, prefix) = match value.abs() {
        1e6.. => (value / 1e6, "M"),
        1e4.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let rounded = (scaled * 1000.0).round() / 1000.0;
    format!("{rounded}{prefix}{}", axis.unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_span_the_values() {
        let frame = linear(0.0, 48_730.0);
        assert_eq!(frame.ticks, [0.0, 10_000.0, 20_000.0, 30_000.0, 40_000.0, 50_000.0]);
        assert_eq!(linear(0.0, 0.0).ticks.len(), 2);
        assert_eq!(linear(-2.0, 9.0).from, -5.0);
        let frame = log(0.7, 30.0);
        assert_eq!((frame.from, frame.to), (0.1, 100.0));
        assert_eq!(log(5.0, 5.0).to, 10.0);
    }

    #[test]
    fn labels_are_short() {
        let axis = |scale, unit| Axis { scale, unit };
        assert_eq!(label(1_500_000.0, axis(Scale::Linear, "")), "1.5M");
        assert_eq!(label(20_000.0, axis(Scale::Linear, "/s")), "20k/s");
        assert_eq!(label(0.2, axis(Scale::Log, " ms")), "0.2 ms");
        assert_eq!(label(99.9, axis(Scale::Nines, "")), "99.9 %");
    }

    #[test]
    fn odd_values_draw_no_odd_paths() {
        let lines = vec![Line { name: "a".into(), points: vec![[0.0, 0.0], [100.0, 1e9]], dashed: false }];
        let axis = |scale| Axis { scale, unit: "" };
        let (x, y) = (axis(Scale::Nines), axis(Scale::Log));
        let mut page = Page::default();
        Chart { title: "t", note: String::new(), x, y, lines, level: Some((5.0, "<x>".into())) }
            .draw(&mut page);
        assert!(
            page.0.contains("<svg")
                && !page.0.contains("NaN")
                && !page.0.contains("inf")
                && !page.0.contains("<x>")
        );
        let mut empty = Page::default();
        Chart { title: "t", note: String::new(), x, y, lines: Vec::new(), level: None }.draw(&mut empty);
        assert_eq!(empty.0, "");
    }
}
