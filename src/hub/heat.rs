//! How much work a stream is for this pod, and whether that is so much that its frames are gathered.

use std::time::Duration;

use tokio::time::Instant;

/// From so many deliveries a second on (comments × viewers on this pod) a stream is hot.
pub(super) const HOT_FROM: u32 = 5_000;
/// The time over which that is measured: a stream that turns busy is hot within a moment, a single comment to a
/// thousand viewers makes none hot.
const SMOOTHED_OVER: Duration = Duration::from_secs(2);

/// A stream's deliveries a second, as a sum that fades.
#[derive(Debug)]
pub(super) struct Heat {
    hot_from: f64,
    /// Deliveries that count, at the time below.
    deliveries: f64,
    at: Option<Instant>,
    is_hot: bool,
}

impl Heat {
    pub(super) fn new(hot_from: u32) -> Self {
        Self { hot_from: f64::from(hot_from), deliveries: 0.0, at: None, is_hot: false }
    }

    /// Takes note of comments that go to so many viewers; returns whether the stream is hot now.
    ///
    /// A hot stream stays hot until it is below half of the limit: at the limit it would else change with every comment.
    pub(super) fn add(&mut self, comments: usize, viewers: usize, now: Instant) -> bool {
        if let Some(at) = self.at.replace(now) {
            let faded = now.saturating_duration_since(at).as_secs_f64() / SMOOTHED_OVER.as_secs_f64();
            self.deliveries *= (-faded).exp();
        }
        self.deliveries += as_f64(comments) * as_f64(viewers);
        let rate = self.deliveries / SMOOTHED_OVER.as_secs_f64();
        self.is_hot = rate >= if self.is_hot { self.hot_from / 2.0 } else { self.hot_from };
        self.is_hot
    }
}

/// Neither a pod's viewers nor what comes at once is ever as many as 2^32.
fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a stream is hot after each of its comments, which come at a steady rate for ten seconds.
    fn steady(heat: &mut Heat, comments_per_second: u32, viewers: usize) -> Vec<bool> {
        let (began, every) = (Instant::now(), Duration::from_secs(1) / comments_per_second);
        (0..10 * comments_per_second).map(|n| heat.add(1, viewers, began + every * n)).collect()
    }

    #[test]
    fn a_stream_is_hot_by_its_deliveries_and_not_by_one_comment() {
        for (comments_per_second, viewers, hot) in [
            (1, 1_000, false),
            (4, 1_000, false),
            (6, 1_000, true),
            (50, 1_000, true),
            (50, 20, false),
            (300, 20, true),
        ] {
            let told = steady(&mut Heat::new(HOT_FROM), comments_per_second, viewers);
            assert!(!told[0], "{comments_per_second}/s");
            assert_eq!(told.last(), Some(&hot), "{comments_per_second}/s to {viewers}");
            assert_eq!(told.contains(&true), hot, "{comments_per_second}/s to {viewers}");
        }
    }

    #[test]
    fn a_stream_that_turns_busy_is_hot_within_a_quarter_of_a_second() {
        let told = steady(&mut Heat::new(HOT_FROM), 50, 1_000);
        assert!(told.iter().position(|hot| *hot).unwrap() <= 12);
    }

    #[test]
    fn a_stream_near_the_limit_changes_once() {
        let mut heat = Heat::new(HOT_FROM);
        let told = steady(&mut heat, 5, 1_050);
        assert_eq!(told.windows(2).filter(|two| two[0] != two[1]).count(), 1);
        // Somewhat below the limit it stays what it is, and far below it not.
        assert!(steady(&mut heat, 4, 1_000).iter().all(|hot| *hot));
        assert_eq!(steady(&mut heat, 2, 1_000).last(), Some(&false));
    }
}
