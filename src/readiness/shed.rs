//! Asking viewers to move: a pod that is hot keeps the viewers that it has, so that its load does not fall by itself.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::gate::{Gate, Reason, State};
use crate::release::Release;

/// How often some viewers are asked.
const EVERY: Duration = Duration::from_secs(1);
/// The share of the pod's viewers that is asked in that time at the most.
const SHARE: f64 = 0.01;

/// Moves a pod's excess of viewers.
pub(super) struct Shedding {
    pub(super) gate: Gate,
    pub(super) release: Release,
    /// For how long the pod refuses before it asks anybody.
    pub(super) after: Duration,
    /// From which load on the others count as hot: then nobody is sent to them.
    pub(super) high: f64,
}

impl Shedding {
    /// Goes on for ever.
    pub(super) async fn run(self) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut refusing_since, mut budget) = (None, 0.0);
        loop {
            let now = tick.tick().await;
            let state = self.gate.state();
            if !state.reasons.contains(&Reason::Cpu) || state.reasons.contains(&Reason::Draining) {
                (refusing_since, budget) = (None, 0.0);
                continue;
            }
            let since: Instant = *refusing_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= self.after {
                // Those who left by themselves took no turn; it is not for somebody who comes later.
                self.release.withdraw();
                let asked = due(&state, self.release.waiting(), self.high, &mut budget);
                if asked > 0 {
                    tracing::info!(
                        asked,
                        viewers = self.release.waiting(),
                        "asking viewers to move to other pods"
                    );
                    self.release.ask(asked);
                }
            }
        }
    }
}

/// How many of the viewers that were not asked yet are asked now: of the excess over the mean of the track's pods, so
/// many as the budget allows; none while the others are hot too, or nobody knows how they fare.
fn due(state: &State, viewers: usize, high: f64, budget: &mut f64) -> usize {
    let Some(fleet) = state.fleet.as_ref().filter(|fleet| fleet.others_cpu.is_some_and(|cpu| cpu < high))
    else {
        *budget = 0.0;
        return 0;
    };
    let most = viewers as f64 * SHARE;
    // What is not used is kept for less than one viewer: else the pace of a later second would be above its share.
    *budget = (*budget + most).min(most.max(1.0));
    let asked = budget.min(viewers as f64 - fleet.mean_viewers).max(0.0).floor();
    *budget -= asked;
    // A whole number that is no larger than the number of viewers.
    (0..viewers).take_while(|number| (*number as f64) < asked).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::{FleetView, LeaseDecision};

    fn state(mean_viewers: f64, others_cpu: Option<f64>) -> State {
        let fleet =
            FleetView { pods: 3, unready: 1, others_cpu, mean_viewers, verdict: LeaseDecision::Leave };
        State {
            ready: false,
            reasons: vec![Reason::Cpu],
            reading: None,
            high: 0.8,
            low: 0.6,
            hot: true,
            max_viewers: 1_000,
            fleet: Some(fleet),
        }
    }

    /// How many are asked in so many seconds, and the most in one of them.
    fn shed(viewers: usize, mean: f64, others_cpu: Option<f64>, seconds: u32) -> (usize, usize) {
        let (mut left, mut budget, mut most) = (viewers, 0.0, 0);
        for _ in 0..seconds {
            let asked = due(&state(mean, others_cpu), left, 0.8, &mut budget);
            assert!(asked as f64 <= (left as f64 * SHARE).max(1.0), "{asked} of {left} in a second");
            left -= asked;
            most = most.max(asked);
        }
        (viewers - left, most)
    }

    #[test]
    fn the_excess_over_the_mean_is_asked_a_hundredth_a_second() {
        assert_eq!(shed(3_000, 1_000.0, Some(0.3), 10), (282, 30));
        assert_eq!(shed(3_000, 1_000.0, Some(0.3), 1_000).0, 2_000);
        assert_eq!(shed(20, 10.0, Some(0.3), 50).0, 7, "one in five seconds, then in more");
        assert_eq!(shed(1_000, 1_000.0, Some(0.3), 100).0, 0);
        assert_eq!(shed(3, 1_000.0, Some(0.3), 100).0, 0);
    }

    #[test]
    fn nobody_is_asked_to_go_to_pods_that_are_hot_or_unknown() {
        assert_eq!(shed(3_000, 1_000.0, Some(0.8), 100).0, 0);
        assert_eq!(shed(3_000, 1_000.0, None, 100).0, 0, "no other pod takes viewers");
        let unknown = State { fleet: None, ..state(0.0, None) };
        assert_eq!(due(&unknown, 3_000, 0.8, &mut 0.0), 0);
    }
}
