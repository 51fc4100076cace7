//! The state of a stream's tape and of its seats, as it is shown to a person.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{mark::Mark, phase::Phase};
use crate::domain::Position;

/// A tape at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TapeView {
    /// Frames that are kept.
    pub frames: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Where its next frame will stand.
    pub(super) next: Mark,
    /// The place before the oldest.
    pub floor: Position,
    /// The place after the newest.
    pub head: Position,
    /// How long ago the newest came; none if there is none.
    pub newest_ago: Option<Duration>,
}

/// The seats of a stream at a moment; or those that one lane holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeatsView {
    /// Viewers whom the lane writes to: they keep up.
    pub prompt: usize,
    /// Viewers whose sockets are full, or who have joined and not caught up yet.
    pub lagging: usize,
    /// Viewers who are being closed.
    pub closing: usize,
    /// How many frames the one furthest behind has yet to get.
    pub furthest_behind: u64,
    /// How long the socket that waits longest has been full.
    pub longest_full: Duration,
}

/// What a lane is asked.
pub(super) struct LaneQuestion {
    /// The stream.
    pub(super) key: u64,
    /// Where the answer goes; nobody may wait for it any more.
    pub(super) answer: oneshot::Sender<SeatsView>,
}

impl SeatsView {
    /// Adds a seat.
    pub(super) fn see(&mut self, phase: Phase, behind: u64, full: Duration) {
        match phase {
            // It reads what came before: it has no place on the tape yet, and is behind nobody.
            Phase::Joining => return,
            Phase::Prompt | Phase::Due => self.prompt += 1,
            Phase::Lagging => self.lagging += 1,
            Phase::Closing | Phase::Shut(_) => {
                self.closing += 1;
                return;
            }
        }
        self.furthest_behind = self.furthest_behind.max(behind);
        self.longest_full = self.longest_full.max(full);
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            prompt: self.prompt + other.prompt,
            lagging: self.lagging + other.lagging,
            closing: self.closing + other.closing,
            furthest_behind: self.furthest_behind.max(other.furthest_behind),
            longest_full: self.longest_full.max(other.longest_full),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_joins_or_goes_is_not_said_to_lag() {
        let (mut view, late) = (SeatsView::default(), Duration::from_secs(9));
        for phase in [Phase::Joining, Phase::Closing, Phase::Shut(None)] {
            view.see(phase, 1_000, late);
        }
        assert_eq!(view, SeatsView { closing: 2, ..SeatsView::default() });
        view.see(Phase::Prompt, 1, Duration::ZERO);
        view.see(Phase::Lagging, 7, Duration::from_secs(1));
        assert_eq!((view.prompt, view.lagging, view.closing), (1, 1, 2));
        assert_eq!((view.furthest_behind, view.longest_full), (7, Duration::from_secs(1)));
    }
}
