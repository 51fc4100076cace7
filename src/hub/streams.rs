//! The map of watched streams, and the way in and out of it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use dashmap::{DashMap, Entry};
use tokio::time::Instant;

use super::{
    fanout::Fanout, inbox::Inbox, item::Item, lane::Lane, mark::Mark, seat_core::SeatCore, stream::Stream,
    timing::DeliveryStats,
};
use crate::{
    domain::{Position, StreamId},
    protocol,
    telemetry::{Seating, Sli},
};

/// Is told to look at a stream again, because its audience appeared or vanished.
///
/// A nudge carries no value: whoever acts on it asks [`Hub::is_watched`] for the truth of that moment, so that a late
/// "unwatched" can never overtake a new viewer.
pub trait Nudge: Send + Sync {
    /// Look at this stream again.
    fn nudge(&self, stream: &StreamId);
}

/// Fan-out on this pod. Cloning shares it.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    streams: DashMap<StreamId, Arc<Stream>>,
    fanout: Fanout,
    lanes: Box<[Arc<Inbox>]>,
    nudge: Box<dyn Nudge>,
    keys: AtomicU64,
    seats: AtomicUsize,
    next_lane: AtomicUsize,
    sli: Sli,
}

/// What the hub holds at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Sockets that watch, or are about to.
    pub viewers: usize,
    /// Streams that are watched, or linger.
    pub streams: usize,
}

impl Hub {
    /// A hub and its lanes; each has to be run by its own task.
    #[must_use]
    pub fn new(fanout: Fanout, nudge: impl Nudge + 'static, sli: Sli) -> (Self, Vec<Lane>) {
        let fanout = Fanout { lanes: fanout.lanes.max(1), ..fanout };
        let inboxes: Box<[_]> =
            std::iter::repeat_with(|| Arc::new(Inbox::default())).take(fanout.lanes).collect();
        let lanes = inboxes
            .iter()
            .enumerate()
            .map(|(n, inbox)| Lane::new(n, Arc::clone(inbox), fanout.window, sli.clone()))
            .collect();
        let inner = Inner {
            streams: DashMap::new(),
            fanout,
            lanes: inboxes,
            nudge: Box::new(nudge),
            keys: AtomicU64::new(0),
            seats: AtomicUsize::new(0),
            next_lane: AtomicUsize::new(0),
            sli,
        };
        (Self(Arc::new(inner)), lanes)
    }

    /// Where what happens here is counted.
    #[must_use]
    pub fn sli(&self) -> &Sli {
        &self.0.sli
    }

    /// Counts a viewer among a stream's; returns the stream, and the lane of the viewer's seat.
    pub(super) fn admit(&self, id: &StreamId) -> (Arc<Stream>, usize) {
        let stream = self.enter_audience(id);
        self.0.seats.fetch_add(1, Ordering::Relaxed);
        let lane = self.0.next_lane.fetch_add(1, Ordering::Relaxed) % self.0.lanes.len();
        (stream, lane)
    }

    fn enter_audience(&self, id: &StreamId) -> Arc<Stream> {
        let entry = self.0.streams.entry(id.clone()).or_insert_with(|| {
            let key = self.0.keys.fetch_add(1, Ordering::Relaxed);
            Arc::new(Stream::new(id.clone(), key, self.0.fanout))
        });
        // Under the map's lock, so that `retire` sees either this viewer or no stream.
        let stream = Arc::clone(&entry);
        let first = stream.audience.fetch_add(1, Ordering::AcqRel) == 0;
        drop(entry);
        if first {
            self.0.nudge.nudge(id);
        }
        stream
    }

    /// The seat's lane writes to it from now on, once it has caught up.
    pub(super) fn seated(&self, seat: &Arc<SeatCore>, mark: Mark) {
        seat.seated.store(true, Ordering::Relaxed);
        seat.stream.lanes[seat.lane].seats.fetch_add(1, Ordering::AcqRel);
        self.0.lanes[seat.lane].join(Arc::clone(seat), mark);
    }

    pub(super) fn left(&self, seat: &Arc<SeatCore>) {
        if seat.seated.load(Ordering::Relaxed) {
            seat.stream.lanes[seat.lane].seats.fetch_sub(1, Ordering::AcqRel);
            self.0.lanes[seat.lane].leave(Arc::clone(seat));
        }
        self.0.seats.fetch_sub(1, Ordering::Relaxed);
        if seat.stream.audience.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.nudge.nudge(&seat.stream.id);
        }
    }

    pub(super) fn count(&self, seating: Seating, tally: DeliveryStats) {
        self.0.sli.delivered(seating, tally.delivered, tally.late);
        self.0.sli.skipped(seating, tally.skipped);
    }

    pub(super) fn lanes(&self) -> &[Arc<Inbox>] {
        &self.0.lanes
    }

    pub(super) fn each_stream(&self, mut see: impl FnMut(&Stream)) {
        self.0.streams.iter().for_each(|stream| see(&stream));
    }

    pub(super) fn find(&self, id: &StreamId) -> Option<Arc<Stream>> {
        self.0.streams.get(id).map(|stream| Arc::clone(&stream))
    }

    /// Whether anybody watches the stream on this pod at this moment.
    #[must_use]
    pub fn is_watched(&self, id: &StreamId) -> bool {
        self.viewers_here(id) > 0
    }

    /// How many watch the stream on this pod.
    #[must_use]
    pub fn viewers_here(&self, id: &StreamId) -> u64 {
        self.find(id).map_or(0, |stream| stream.viewers() as u64)
    }

    /// How many watch the stream on all pods: those here, and those elsewhere as was last heard; 0 for a stream that
    /// this pod does not know.
    #[must_use]
    pub fn viewers(&self, id: &StreamId) -> u64 {
        self.find(id).map_or(0, |stream| stream.viewers_anywhere())
    }

    /// Takes note of how many watch a stream on other pods.
    pub fn watched_elsewhere(&self, id: &StreamId, viewers: u64) {
        if let Some(stream) = self.find(id) {
            stream.elsewhere.store(viewers, Ordering::Relaxed);
        }
    }

    /// Opens a stream at a place in its order, with the newest items after it. Those who wait for it are let in.
    pub fn open(&self, id: &StreamId, floor: Position, items: impl IntoIterator<Item = Item>) {
        if let Some(stream) = self.find(id) {
            stream.open(floor, items, Instant::now());
        }
    }

    /// Puts items on a stream's tape and wakes the lanes that hold its viewers. Returns whether anybody watches.
    pub fn deliver(&self, id: &StreamId, items: impl IntoIterator<Item = Item>) -> bool {
        let Some(stream) = self.find(id) else { return false };
        stream.push(items, Instant::now());
        self.wake(&stream);
        stream.viewers() > 0
    }

    /// Tells a stream's viewers how many watch it. A viewer who cannot keep up gets only the newest number.
    pub fn tell_viewers(&self, id: &StreamId, viewers: u64) {
        if let Some(stream) = self.find(id) {
            stream.tell(protocol::viewers(viewers));
            self.wake(&stream);
        }
    }

    fn wake(&self, stream: &Arc<Stream>) {
        for (flag, lane) in stream.lanes.iter().zip(&self.0.lanes) {
            if flag.seats.load(Ordering::Acquire) > 0 && !flag.queued.swap(true, Ordering::AcqRel) {
                lane.wake(Arc::clone(stream));
            }
        }
    }

    /// Forgets a stream that nobody watches. Returns false, and keeps it, if somebody does.
    #[must_use]
    pub fn retire(&self, id: &StreamId) -> bool {
        match self.0.streams.entry(id.clone()) {
            Entry::Occupied(entry) if entry.get().viewers() > 0 => false,
            Entry::Occupied(entry) => {
                entry.remove();
                true
            }
            Entry::Vacant(_) => true,
        }
    }

    /// What the hub holds.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals { viewers: self.0.seats.load(Ordering::Relaxed), streams: self.0.streams.len() }
    }
}
