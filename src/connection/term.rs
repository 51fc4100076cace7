//! How long a viewer's pass counts: a word before its end, and the end.

use std::time::Duration;

use tokio::time::Instant;

use crate::identity::Pass;

/// How long before its end the viewer is told.
const WARN_BEFORE: Duration = Duration::from_secs(60);

/// What is due of a pass's term, and when.
pub(super) struct Term {
    /// Whether the viewer knows of the end.
    told: bool,
    /// None: the pass has no end.
    due: Option<Instant>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing yet.
    Wait,
    /// To tell the viewer that the pass ends after so many milliseconds.
    Expiring(u64),
    /// It has ended.
    Over,
}

impl Term {
    pub(super) fn new(pass: &Pass, now: Instant) -> Self {
        Self { told: false, due: pass.time_left().map(|left| now + left.saturating_sub(WARN_BEFORE)) }
    }

    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What is due now.
    pub(super) fn turn(&mut self, pass: &Pass, now: Instant) -> Turn {
        if self.due.is_none_or(|due| now < due) {
            return Turn::Wait;
        }
        // The end is by the wall clock, which may have been put back or forth meanwhile.
        let Some(left) = pass.time_left() else { return Turn::Wait };
        self.due = Some(now + left);
        if !std::mem::replace(&mut self.told, true) {
            return Turn::Expiring(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        }
        if left.is_zero() { Turn::Over } else { Turn::Wait }
    }
}
