//! What happens while a run posts, besides the even rate: raids, crowds, bursts, storms, restless and slow viewers.

use serde::{Deserialize, Serialize};

/// Viewers of a curve and of raids together are at most so many.
const MAX_LATE: f64 = 1e6;

/// Everybody joins at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Raid {
    /// Seconds after the posting began.
    pub at: f64,
    /// How many come, besides those who are there.
    pub viewers: u32,
    /// Seconds over which they come; 0 is at once.
    pub over: f64,
}

/// A point of the curve by which a crowd arrives; between two points the rate changes evenly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Seconds after the posting began.
    pub at: f64,
    /// Joins a minute at this time.
    pub joins_a_minute: f64,
}

/// Gifts beyond the even rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Burst {
    /// Seconds after the posting began.
    pub at: f64,
    /// Gifts in each stream.
    pub gifts: u32,
    /// Seconds over which they are posted.
    pub over: f64,
}

/// Viewers lose their connections in the same instant, and connect again at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Storm {
    /// Seconds after the posting began.
    pub at: f64,
    /// The share of the viewers that it hits, 0 to 1.
    pub share: f64,
}

/// Viewers that go from stream to stream.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Churn {
    /// How many, besides those who stay.
    pub viewers: u32,
    /// Seconds that one stays.
    pub every: f64,
}

/// Viewers that take only so much.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Slow {
    /// How many, besides the others.
    pub viewers: u32,
    /// What one of them reads in a second.
    pub bytes_a_second: u32,
}

/// All that happens in a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Events {
    /// Viewers that join at once.
    pub raids: Vec<Raid>,
    /// The curve of an announced crowd.
    pub curve: Vec<CurvePoint>,
    /// Gifts in bursts.
    pub bursts: Vec<Burst>,
    /// Connections lost together.
    pub storms: Vec<Storm>,
    /// Viewers that switch streams.
    pub churn: Option<Churn>,
    /// Viewers that read slowly.
    pub slow: Option<Slow>,
    /// Audiences of the streams fall as 1/rank^zipf; 0 or none: all alike.
    pub zipf: Option<f64>,
}

impl Events {
    /// What cannot be in a run that posts for so many seconds.
    pub(crate) fn mistakes(&self, seconds: f64) -> Vec<String> {
        let mut times: Vec<(&str, f64)> = self.raids.iter().map(|raid| ("raid", raid.at)).collect();
        times.extend(self.storms.iter().map(|storm| ("storm", storm.at)));
        times.extend(self.bursts.iter().map(|burst| ("gifts", burst.at)));
        let late = times.into_iter().filter(|(_, at)| *at >= seconds);
        let mut mistakes: Vec<_> =
            late.map(|(what, at)| format!("{what} at {at} s: the posting ends at {seconds} s")).collect();
        if self.curve.windows(2).any(|pair| pair[1].at <= pair[0].at) {
            mistakes.push("curve: the times of its points must rise".to_owned());
        }
        if self.expected_late(seconds) > MAX_LATE {
            mistakes.push("raids and curve: more than 1,000,000 viewers".to_owned());
        }
        mistakes
    }

    fn expected_late(&self, seconds: f64) -> f64 {
        let raids: f64 = self.raids.iter().map(|raid| f64::from(raid.viewers)).sum();
        raids + arrived(&self.curve, seconds)
    }

    /// When viewers come that are not there from the start: microseconds after the posting began, in order.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates; times are not negative and bounded by the plan"
    )]
    pub(crate) fn arrivals_us(&self, seconds: f64) -> Vec<u64> {
        let mut times = Vec::new();
        for raid in &self.raids {
            let gap = raid.over / f64::from(raid.viewers.max(1));
            times.extend((0..raid.viewers).map(|number| raid.at + gap * f64::from(number)));
        }
        times.extend(curve_times(&self.curve, seconds));
        let mut times: Vec<u64> =
            times.into_iter().filter(|at| *at < seconds).map(|at| (at * 1e6) as u64).collect();
        times.sort_unstable();
        times
    }
}

/// Pieces of the curve: from, to, joins a second at both ends.
fn pieces(curve: &[CurvePoint], seconds: f64) -> impl Iterator<Item = (f64, f64, f64, f64)> {
    let rising = move |pair: &&[CurvePoint]| pair[0].at < seconds && pair[0].at < pair[1].at;
    curve.windows(2).filter(rising).map(move |pair| {
        let [a, b] = [pair[0], pair[1]];
        let to = b.at.min(seconds);
        let share = (to - a.at) / (b.at - a.at);
        let end = a.joins_a_minute + (b.joins_a_minute - a.joins_a_minute) * share;
        (a.at, to, a.joins_a_minute / 60.0, end / 60.0)
    })
}

/// How many have come by the end of the posting: the area under the curve.
fn arrived(curve: &[CurvePoint], seconds: f64) -> f64 {
    pieces(curve, seconds).map(|(from, to, first, last)| (to - from) * f64::midpoint(first, last)).sum()
}

/// The n-th viewer comes when the area under the curve reaches n + 1/2.
fn curve_times(curve: &[CurvePoint], seconds: f64) -> Vec<f64> {
    let (mut times, mut before, mut next) = (Vec::new(), 0.0, 0.5);
    for (from, to, first, last) in pieces(curve, seconds) {
        let area = (to - from) * f64::midpoint(first, last);
        let slope = (last - first) / (to - from);
        while next <= before + area {
            // first·t + slope·t²/2 = what is missing, solved in the form that is stable at a slope of 0.
            let missing = next - before;
            let root = (first * first + 2.0 * slope * missing).max(0.0).sqrt();
            times.push(from + 2.0 * missing / (first + root).max(f64::MIN_POSITIVE));
            next += 1.0;
        }
        before += area;
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raid_comes_at_once_or_evenly() {
        let raids = vec![Raid { at: 1.0, viewers: 3, over: 0.0 }, Raid { at: 0.5, viewers: 2, over: 1.0 }];
        let events = Events { raids, ..Events::default() };
        assert_eq!(events.arrivals_us(10.0), [500_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000]);
        assert_eq!(events.arrivals_us(0.7), [500_000]);
    }

    #[test]
    fn a_crowd_follows_its_curve() {
        let point = |at, joins_a_minute| CurvePoint { at, joins_a_minute };
        let curve = vec![point(0.0, 0.0), point(10.0, 600.0), point(20.0, 600.0), point(30.0, 0.0)];
        let events = Events { curve, ..Events::default() };
        let times = events.arrivals_us(100.0);
        assert_eq!(times.len(), 50 + 100 + 50);
        let within = |from: u64, to: u64| {
            times.iter().filter(|at| (from * 1_000_000..to * 1_000_000).contains(at)).count()
        };
        assert_eq!((within(0, 5), within(10, 20), within(25, 30)), (12, 100, 13));
        assert!(times.is_sorted());
        assert_eq!(events.arrivals_us(15.0).len(), 100, "the posting ends before the crowd does");
    }

    #[test]
    fn what_comes_after_the_end_is_a_mistake() {
        let events = Events {
            storms: vec![Storm { at: 5.0, share: 1.0 }],
            raids: vec![Raid { at: 1.0, viewers: 2_000_000, over: 0.0 }],
            curve: vec![
                CurvePoint { at: 1.0, joins_a_minute: 0.0 },
                CurvePoint { at: 1.0, joins_a_minute: 1.0 },
            ],
            ..Events::default()
        };
        assert_eq!(events.mistakes(5.0).len(), 3);
        assert!(Events::default().mistakes(1.0).is_empty());
    }
}
