//! When to log an outage that lasts.

use std::time::Duration;

use tokio::time::Instant;

/// The time from the first line of an outage to the first reminder; each further one takes twice as long.
const FIRST_REMINDER: Duration = Duration::from_secs(10);
/// The longest time between two reminders.
const LONGEST: Duration = Duration::from_secs(600);

/// A line that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shards) enum Notice {
    /// The outage began.
    Began,
    /// The outage has lasted for so long.
    Lasts(Duration),
    /// The outage ended after so long.
    Ended(Duration),
}

/// An outage, or none: one line when it begins, reminders at growing distances, and one line when it ends.
#[derive(Debug, Default)]
pub(in crate::shards) struct Outage {
    /// An outage that is shorter is not worth a line.
    grace: Duration,
    lasting: Option<Lasting>,
}

#[derive(Debug)]
struct Lasting {
    began: Instant,
    /// The distance to the next reminder; `None` until the outage is announced.
    distance: Option<Duration>,
    due: Instant,
}

impl Outage {
    /// None so far. One that is over within the grace time is never announced.
    pub(in crate::shards) const fn with_grace(grace: Duration) -> Self {
        Self { grace, lasting: None }
    }

    /// Records a sign of the outage, and returns the line that is due.
    pub(in crate::shards) fn goes_on(&mut self, now: Instant) -> Option<Notice> {
        let due = now + self.grace;
        let lasting = self.lasting.get_or_insert(Lasting { began: now, distance: None, due });
        if now < lasting.due {
            return None;
        }
        let notice = match lasting.distance {
            None => Notice::Began,
            Some(_) => Notice::Lasts(now.saturating_duration_since(lasting.began)),
        };
        let distance = lasting.distance.map_or(FIRST_REMINDER, |distance| (distance * 2).min(LONGEST));
        (lasting.distance, lasting.due) = (Some(distance), now + distance);
        Some(notice)
    }

    /// Records that there is no outage, and returns the line that is due.
    pub(in crate::shards) fn is_over(&mut self, now: Instant) -> Option<Notice> {
        let lasting = self.lasting.take()?;
        lasting.distance.map(|_| Notice::Ended(now.saturating_duration_since(lasting.began)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Symptom: a shard's outage of a day was three lines each 11 s. Cause: each connection logged each of its attempts.
    #[test]
    fn an_outage_is_announced_once_and_its_reminders_grow_rare() {
        let (mut outage, start) = (Outage::with_grace(Duration::from_secs(1)), Instant::now());
        let mut told = Vec::new();
        for tenths in 0..864_000_u64 {
            let now = start + Duration::from_millis(100 * tenths);
            told.extend(outage.goes_on(now).map(|notice| (tenths / 10, notice)));
        }
        assert_eq!(told[0], (1, Notice::Began));
        let seconds: Vec<u64> = told[1..7].iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds, [11, 31, 71, 151, 311, 631]);
        assert_eq!(told[1].1, Notice::Lasts(Duration::from_secs(11)));
        assert!(told.len() < 160, "{} lines in a day", told.len());
        let end = start + Duration::from_secs(86_400);
        assert_eq!(outage.is_over(end), Some(Notice::Ended(Duration::from_secs(86_400))));
        assert_eq!(outage.is_over(end), None, "told once");
    }

    #[test]
    fn a_blip_is_no_line() {
        let (mut outage, start) = (Outage::with_grace(Duration::from_secs(1)), Instant::now());
        assert_eq!(outage.goes_on(start), None);
        assert_eq!(outage.goes_on(start + Duration::from_millis(900)), None);
        assert_eq!(outage.is_over(start + Duration::from_millis(950)), None);
        assert_eq!(
            outage.goes_on(start + Duration::from_millis(1100)),
            None,
            "another one has its own grace"
        );
    }
}
