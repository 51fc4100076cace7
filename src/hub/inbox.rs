//! A lane's inbox.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{mark::Mark, seat_core::SeatCore, stream::Stream, views::LaneQuestion};

/// What waits for a lane: written by everybody, read by the lane alone.
#[derive(Default)]
pub(super) struct Inbox {
    /// Guards the lists; held for a push or a swap.
    pub(super) lists: Mutex<Lists>,
    pub(super) some: Notify,
}

/// Bounded: a stream stands in `woken` once (twice at the end of a window), a seat once in `joined` and once in `left`.
#[derive(Default)]
pub(super) struct Lists {
    pub(super) joined: Vec<(Arc<SeatCore>, Mark)>,
    pub(super) left: Vec<Arc<SeatCore>>,
    pub(super) woken: Vec<Arc<Stream>>,
    /// As many as people ask at once.
    pub(super) asked: Vec<LaneQuestion>,
}

impl Inbox {
    pub(super) fn join(&self, seat: Arc<SeatCore>, mark: Mark) {
        self.lists.lock().joined.push((seat, mark));
        self.some.notify_one();
    }

    pub(super) fn leave(&self, seat: Arc<SeatCore>) {
        self.lists.lock().left.push(seat);
        self.some.notify_one();
    }

    pub(super) fn ask(&self, question: LaneQuestion) {
        self.lists.lock().asked.push(question);
        self.some.notify_one();
    }

    pub(super) fn wake(&self, stream: Arc<Stream>) {
        self.lists.lock().woken.push(stream);
        self.some.notify_one();
    }
}
