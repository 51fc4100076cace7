//! The pods of a track that this pod saw, and the log lines of one that is missing.

use std::collections::VecDeque;

use super::backend::types::Seen;

/// A pod that was not seen for so long when it vanished did not take its leave. Pods report every 2.5 to 3 s, and the
/// shard forgets one after 15 s.
const MISSED_MS: u64 = 9_000;

/// A change that is worth a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// A pod has not reported for so long, in milliseconds, and has not taken its leave.
    Missing(String, u64),
    /// A pod that was missing reports again.
    Back(String),
}

/// The most missing pods that are remembered: a name that does not come back is forgotten in the end.
const MOST_MISSING: usize = 100;

/// The watch over a track's pods.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// Since when the list has been looked at without a gap, in which the other pods could not report either.
    since_ms: u64,
    looked_ms: u64,
    missing: VecDeque<String>,
}

impl Track {
    /// Takes the shard's list at a moment of its time, and returns the changes.
    ///
    /// A pod that takes its leave vanishes from the list within moments of its last report; one that dies stays there
    /// until the shard forgets it.
    pub(super) fn look(&mut self, seen: Seen, now_ms: u64) -> Vec<Change> {
        if now_ms.abs_diff(self.looked_ms) >= MISSED_MS {
            self.since_ms = now_ms;
        }
        self.looked_ms = now_ms;
        let mut changes = Vec::new();
        for (pod, at_ms) in seen {
            let age_ms = now_ms.saturating_sub(at_ms);
            let place = self.missing.iter().position(|missing| *missing == pod);
            if age_ms < MISSED_MS {
                if place.and_then(|place| self.missing.remove(place)).is_some() {
                    changes.push(Change::Back(pod));
                }
            } else if place.is_none() && now_ms.saturating_sub(self.since_ms) >= MISSED_MS {
                if self.missing.len() == MOST_MISSING {
                    self.missing.pop_front();
                }
                self.missing.push_back(pod.clone());
                changes.push(Change::Missing(pod, age_ms));
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every 3 s of the shard's time, as a pod does, at a list of pods and when each reported last.
    fn look_until(
        track: &mut Track,
        from_ms: u64,
        to_ms: u64,
        list: impl Fn(u64) -> Vec<(&'static str, u64)>,
    ) -> Vec<Change> {
        let looks = (from_ms..=to_ms).step_by(3_000);
        let look = |now_ms| {
            let seen = list(now_ms).into_iter().map(|(pod, at_ms)| (pod.to_owned(), at_ms)).collect();
            track.look(seen, now_ms)
        };
        looks.flat_map(look).collect()
    }

    #[test]
    fn a_pod_that_stops_reporting_is_missing_once_and_back_once() {
        let mut track = Track::default();
        assert_eq!(look_until(&mut track, 100_000, 130_000, |now| vec![("a", now), ("b", now)]), []);
        let died = look_until(&mut track, 133_000, 145_000, |now| vec![("a", now), ("b", 130_000)]);
        assert_eq!(died, [Change::Missing("b".into(), 9_000)]);
        assert_eq!(
            look_until(&mut track, 148_000, 160_000, |now| vec![("a", now)]),
            [],
            "forgotten by the shard"
        );
        let back = look_until(&mut track, 163_000, 170_000, |now| vec![("a", now), ("b", now)]);
        assert_eq!(back, [Change::Back("b".into())]);
    }

    #[test]
    fn a_pod_that_takes_its_leave_is_not_missing() {
        let mut track = Track::default();
        look_until(&mut track, 100_000, 130_000, |now| vec![("a", now), ("b", now)]);
        assert_eq!(look_until(&mut track, 133_000, 190_000, |now| vec![("a", now)]), []);
    }

    #[test]
    fn after_an_outage_of_the_shard_pods_have_time_to_report() {
        let mut track = Track::default();
        look_until(&mut track, 100_000, 130_000, |now| vec![("a", now), ("b", now)]);
        assert_eq!(look_until(&mut track, 190_000, 193_000, |now| vec![("a", now), ("b", 130_000)]), []);
        assert_eq!(look_until(&mut track, 196_000, 230_000, |now| vec![("a", now), ("b", now)]), []);
    }
}
