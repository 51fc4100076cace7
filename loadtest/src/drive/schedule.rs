//! When each post is due: fixed before the run, whatever the server does (open loop).

use super::plan::Plan;
use crate::base::clock::micros;

/// A burst that comes at once still has an order: so many a second.
const AT_ONCE_SECONDS: f64 = 0.001;

/// An even rate over several streams; the streams take turns, so that they do not all post at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Schedule {
    /// The number of each stream's first post.
    pub(crate) first: u32,
    /// Posts a second in each stream.
    pub(crate) rate: f64,
    pub(crate) streams: u32,
    /// When the first post of stream 0 is due, on the run's clock.
    pub(crate) start_us: u64,
    pub(crate) seconds: f64,
}

/// One post that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) stream: u32,
    pub(crate) number: u32,
    pub(crate) due_us: u64,
}

impl Schedule {
    /// The comments of a run that began to post at this time.
    pub(crate) fn comments(plan: &Plan, start_us: u64) -> Self {
        Self { first: 0, rate: plan.rate, streams: plan.streams, start_us, seconds: plan.seconds }
    }

    /// Its gifts: the even rate, then the bursts.
    pub(crate) fn gifts(plan: &Plan, start_us: u64) -> Vec<Self> {
        let even = Self { rate: plan.gifts_per_second, ..Self::comments(plan, start_us) };
        let mut all = vec![even];
        for burst in &plan.events.bursts {
            let seconds = burst.over.max(AT_ONCE_SECONDS);
            let after_us = micros(std::time::Duration::from_secs_f64(burst.at));
            let first = all.last().map_or(0, |before| before.first + before.posts_per_stream());
            let (rate, start_us) = (f64::from(burst.gifts) / seconds, start_us + after_us);
            all.push(Self { first, rate, streams: plan.streams, start_us, seconds });
        }
        all
    }

    /// All posts of a run that are due at this time.
    pub(crate) fn all_due_by(plan: &Plan, start_us: u64, now_us: u64) -> u64 {
        let gifts: u64 = Self::gifts(plan, start_us).iter().map(|gifts| gifts.due_by(now_us)).sum();
        Self::comments(plan, start_us).due_by(now_us) + gifts
    }

    /// Posts of one stream over the whole run.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates; rates are not negative"
    )]
    pub(crate) fn posts_per_stream(&self) -> u32 {
        (self.rate * self.seconds + 1e-9) as u32
    }

    /// Posts of all streams that are due at this time.
    pub(crate) fn due_by(&self, now_us: u64) -> u64 {
        let (mut low, mut high) = (0, u64::from(self.streams) * u64::from(self.posts_per_stream()));
        while low < high {
            let middle = (low + high) / 2;
            match self.nth(middle) {
                Some(due) if due.due_us <= now_us => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }

    /// The post at this place in the order of all streams; `None` after the last.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "far below 2^53; the stream is below `streams`"
    )]
    pub(crate) fn nth(&self, place: u64) -> Option<Due> {
        let streams = u64::from(self.streams.max(1));
        let number =
            u32::try_from(place / streams).ok().filter(|number| *number < self.posts_per_stream())?;
        let after_us = (place as f64 / (self.rate * streams as f64) * 1e6) as u64;
        let number = self.first + number;
        Some(Due { stream: (place % streams) as u32, number, due_us: self.start_us + after_us })
    }

    /// The post with this number in one stream; `None` after the last.
    pub(crate) fn of_stream(&self, stream: u32, number: u32) -> Option<Due> {
        self.nth(u64::from(number.checked_sub(self.first)?) * u64::from(self.streams) + u64::from(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_take_turns_at_an_even_rate() {
        let schedule = Schedule { first: 0, rate: 2.0, streams: 4, start_us: 1000, seconds: 1.5 };
        assert_eq!(schedule.posts_per_stream(), 3);
        let all: Vec<Due> = (0..).map_while(|place| schedule.nth(place)).collect();
        assert_eq!(all.len(), 12);
        assert!(all.windows(2).all(|pair| pair[1].due_us - pair[0].due_us == 125_000));
        assert_eq!(schedule.of_stream(2, 1), Some(Due { stream: 2, number: 1, due_us: 1000 + 750_000 }));
        assert_eq!(schedule.of_stream(2, 3), None);
        assert_eq!(schedule.due_by(0), 0);
        assert_eq!(schedule.due_by(1000), 1);
        assert_eq!(schedule.due_by(u64::MAX), 12);
    }

    #[test]
    fn numbers_may_begin_later() {
        let schedule = Schedule { first: 5, rate: 2.0, streams: 2, start_us: 0, seconds: 1.0 };
        assert_eq!(schedule.nth(3), Some(Due { stream: 1, number: 6, due_us: 750_000 }));
        assert_eq!(schedule.of_stream(1, 6), schedule.nth(3));
        assert_eq!((schedule.of_stream(1, 4), schedule.of_stream(1, 7)), (None, None));
    }

    #[test]
    fn nothing_is_due_at_rate_zero() {
        let schedule = Schedule { first: 0, rate: 0.0, streams: 4, start_us: 0, seconds: 10.0 };
        assert_eq!((schedule.nth(0), schedule.due_by(u64::MAX)), (None, 0));
    }
}
