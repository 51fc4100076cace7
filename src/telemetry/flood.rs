//! A flood of log lines is cut to what a person can read, and to what costs the pod nothing.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tracing::{Event, Level, Metadata};
use tracing_subscriber::{
    filter::LevelFilter,
    layer::{Context, Filter},
};

use super::{events::Signal, sli::Sli};

/// The most lines in any second: of warnings and errors, and of everything else. One flood does not hide the other.
const LOUD: usize = 30;
const QUIET: usize = 70;
/// A second and a bit: a line's time is told a moment after it was let through.
const SECOND: Duration = Duration::from_millis(1_020);

/// Lets so many lines through in any second, and counts the others.
pub(super) struct Flood {
    /// Guard when the last lines were let through; held for a look.
    loud: Mutex<VecDeque<Instant>>,
    quiet: Mutex<VecDeque<Instant>>,
    sli: Sli,
}

impl Flood {
    pub(super) fn new(sli: Sli) -> Self {
        let room = |lines| Mutex::new(VecDeque::with_capacity(lines));
        Self { loud: room(LOUD), quiet: room(QUIET), sli }
    }

    fn lets_through(&self, level: &Level, now: Instant) -> bool {
        let (lines, most) = if *level <= Level::WARN { (&self.loud, LOUD) } else { (&self.quiet, QUIET) };
        let mut lines = lines.lock();
        if lines.len() == most {
            if lines.front().is_some_and(|oldest| now.saturating_duration_since(*oldest) < SECOND) {
                return false;
            }
            lines.pop_front();
        }
        lines.push_back(now);
        true
    }
}

impl<S> Filter<S> for Flood {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    /// Every level may pass; without a word on it the library would look at each line that is switched off.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let passes = self.lets_through(event.metadata().level(), Instant::now());
        if !passes {
            self.sli.dropped(Signal::Logs, 1);
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_lines_go_through_in_any_second_and_an_error_among_them() {
        let flood = Flood::new(Sli::default());
        let start = Instant::now();
        let mut through = Vec::new();
        for ms in 0..5_000_u64 {
            let now = start + Duration::from_millis(ms);
            let lines = (0..10).filter(|_| flood.lets_through(&Level::DEBUG, now)).count();
            let errors = usize::from(ms % 100 == 0 && flood.lets_through(&Level::ERROR, now));
            assert!(ms % 100 != 0 || errors == 1, "an error at {ms} ms is not told");
            through.extend(std::iter::repeat_n(ms, lines + errors));
        }
        for from in 0..4_000 {
            let within = through.iter().filter(|ms| (from..from + 1_000).contains(*ms)).count();
            assert!(within <= 100, "{within} in the second from {from} ms");
        }
        assert_eq!(through.len(), 5 * QUIET + 50, "as many as may be, and every error");
    }
}
