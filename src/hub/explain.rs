//! What a person asks about streams: one explained, or those that stand out.

use std::time::Duration;

use tokio::{sync::oneshot, time::Instant};

use super::{out::Phase, recent::Activity, stream::Stream, streams::Hub, tape::Mark};
use crate::domain::{Position, StreamId};

/// A stream on this pod, as it is at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Sockets that watch, or are about to.
    pub viewers: usize,
    /// The tape; none until the stream's place in its order is known.
    pub tape: Option<TapeView>,
    /// What became of deliveries in the last minute.
    pub lately: Activity,
}

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

/// A stream that stands out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outstanding {
    /// Which it is.
    pub stream: StreamId,
    /// Who watches.
    pub viewers: usize,
    /// What became of deliveries in the last minute.
    pub lately: Activity,
}

/// The streams that stand out, and all together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// All streams of this pod.
    pub lately: Activity,
    /// Those with the most late and skipped comments, worst first; none without any.
    pub worst: Vec<Outstanding>,
    /// Those with the most deliveries, busiest first.
    pub busiest: Vec<Outstanding>,
}

/// What a lane is asked.
pub(super) struct Question {
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

    fn plus(self, other: Self) -> Self {
        Self {
            prompt: self.prompt + other.prompt,
            lagging: self.lagging + other.lagging,
            closing: self.closing + other.closing,
            furthest_behind: self.furthest_behind.max(other.furthest_behind),
            longest_full: self.longest_full.max(other.longest_full),
        }
    }
}

impl Survey {
    /// How many streams of each sort are named.
    pub const MOST: usize = 10;

    fn add(&mut self, stream: &Stream, lately: Activity) {
        self.lately = self.lately.plus(lately);
        rank(&mut self.worst, stream, lately, Activity::trouble);
        rank(&mut self.busiest, stream, lately, |lately| lately.delivered);
    }
}

/// Puts the stream where it belongs among those that have the most of something, unless it has none.
fn rank(list: &mut Vec<Outstanding>, stream: &Stream, lately: Activity, of: fn(&Activity) -> u64) {
    let amount = of(&lately);
    let place = list.partition_point(|other| of(&other.lately) >= amount);
    if amount > 0 && place < Survey::MOST {
        list.truncate(Survey::MOST - 1);
        list.insert(place, Outstanding { stream: stream.id.clone(), viewers: stream.viewers(), lately });
    }
}

impl Hub {
    /// Explains a stream; none if it is neither watched nor lingers here.
    #[must_use]
    pub fn explain(&self, id: &StreamId) -> Option<Explained> {
        let (stream, now) = (self.find(id)?, Instant::now());
        let (viewers, tape) = (stream.viewers(), stream.tape(now));
        Some(Explained { viewers, tape, lately: stream.recent.activity(now) })
    }

    /// The seats of a stream's viewers who have joined. Each lane counts its own at its next turn, which takes it some
    /// milliseconds for a hundred thousand.
    pub async fn seats(&self, id: &StreamId) -> Option<SeatsView> {
        let stream = self.find(id)?;
        let mut seats = SeatsView::default();
        for lane in self.lanes() {
            let (answer, answered) = oneshot::channel();
            lane.ask(Question { key: stream.key, answer });
            // A lane that is gone has no seats.
            seats = seats.plus(answered.await.unwrap_or_default());
        }
        Some(seats)
    }

    /// Finds the streams that stand out: a look at each.
    #[must_use]
    pub fn survey(&self) -> Survey {
        let (now, mut survey) = (Instant::now(), Survey::default());
        self.each_stream(|stream| survey.add(stream, stream.recent.activity(now)));
        survey
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
