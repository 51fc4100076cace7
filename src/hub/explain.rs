//! What a person asks about streams: one explained, or those that stand out.

use tokio::{sync::oneshot, time::Instant};

use super::{
    rolling_counts::Activity,
    stream::Stream,
    streams::Hub,
    views::{LaneQuestion, SeatsView, TapeView},
};
use crate::domain::StreamId;

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
            lane.ask(LaneQuestion { key: stream.key, answer });
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
