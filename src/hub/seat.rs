//! A viewer's place in a stream: a cursor into the tape, and the write side of the viewer's socket.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    mark::Mark,
    outlet::SharedOutlet,
    phase::Phase,
    seat_core::{Drained, SeatCore, Sent},
    stream::{Opening, Stream},
    streams::Hub,
    tape::Located,
    timing::DeliveryStats,
};
use crate::{
    domain::{Position, StreamId},
    protocol::SharedFrame,
    telemetry::Seating,
};

/// A viewer's place in a stream. Dropping it is leaving.
pub struct Seat {
    hub: Hub,
    core: Arc<SeatCore>,
}

impl Hub {
    /// Gives a viewer a seat in a stream.
    #[must_use]
    pub fn sit(&self, id: &StreamId, outlet: SharedOutlet) -> Seat {
        let (stream, lane) = self.admit(id);
        Seat::new(self.clone(), stream, lane, outlet)
    }
}

impl Seat {
    fn new(hub: Hub, stream: Arc<Stream>, lane: usize, outlet: SharedOutlet) -> Self {
        Self { hub, core: Arc::new(SeatCore::new(stream, lane, outlet)) }
    }

    /// Returns once the stream's place in its order is known on this pod.
    pub async fn opened(&self) {
        self.core.stream.opened().await;
    }

    /// Where a newcomer begins; none until the stream is open.
    #[must_use]
    pub fn opening(&self) -> Option<Opening> {
        self.core.stream.opening()
    }

    /// Where a viewer's position lies; none until the stream is open.
    #[must_use]
    pub fn locate(&self, position: &Position) -> Option<Located> {
        self.core.stream.locate(position)
    }

    /// The place after the stream's newest entry on this pod; none until the stream is open.
    #[must_use]
    pub fn head(&self) -> Option<Position> {
        self.core.stream.head()
    }

    /// The next frame for a joiner that has everything before the mark, and the mark after it; none at the tape's end,
    /// and none if the tape no longer has that place: who enters there is told what it misses.
    #[must_use]
    pub fn history(&self, from: Mark) -> Option<(SharedFrame, Mark)> {
        self.core.stream.history(from)
    }

    /// How many watch the stream on all pods, as far as this one knows.
    #[must_use]
    pub fn viewers(&self) -> u64 {
        self.core.stream.viewers_anywhere()
    }

    /// Queues a frame for this viewer alone; it goes out between the stream's frames at the next [`Self::drain`].
    pub fn push(&self, frame: &SharedFrame) {
        self.push_bytes(frame.bytes().clone());
    }

    /// Queues bytes of complete frames for this viewer alone.
    pub fn push_bytes(&self, bytes: Bytes) {
        self.core.out.lock().push_own(bytes);
    }

    /// Queues a frame for this viewer alone; returns how many bytes the socket will have taken at its end.
    #[must_use]
    pub fn push_counted(&self, frame: &SharedFrame) -> u64 {
        let mut out = self.core.out.lock();
        out.push_own(frame.bytes().clone());
        out.end()
    }

    /// Writes the stream's frames only until the socket has taken so many bytes since the beginning; none: without an
    /// end. A viewer with a limit lags: its task writes, and what is too old by then is skipped.
    pub fn limit(&self, bytes: Option<u64>) {
        self.core.out.lock().limit(bytes.unwrap_or(u64::MAX));
    }

    /// Whether the viewer takes its own frames fast enough that its next message may be read.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.core.out.lock().has_room()
    }

    /// Whether none of the viewer's own frames waits.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.core.out.lock().is_flushed()
    }

    /// Ends the joining: from the next [`Self::drain`] on the viewer gets the stream's frames after the mark.
    pub fn enter(&self, mark: Mark) {
        {
            let mut out = self.core.out.lock();
            if out.phase != Phase::Joining {
                return;
            }
            out.cursor = mark;
            out.phase = Phase::Lagging;
        }
        self.hub.seated(&self.core, mark);
    }

    /// Writes what is due, as far as the socket takes it.
    #[must_use]
    pub fn drain(&self, now: Instant) -> Drained {
        let mut sent = Sent::default();
        let drained = self.core.drain(now, &mut sent, self.hub.sli());
        for (seating, tally) in [(Seating::Prompt, sent.prompt), (Seating::Lagging, sent.lagging)] {
            if tally != DeliveryStats::ZERO {
                self.hub.count(seating, tally);
                self.core.stream.recent.add(tally.activity(), now);
            }
        }
        drained
    }

    /// Returns when the seat needs the viewer's task: it lags, or was shut.
    pub fn woken(&self) -> impl Future<Output = ()> + Send + use<'_> {
        self.core.woken.notified()
    }

    /// Ends the stream's frames; own ones still go out, such as a close.
    pub fn end_stream(&self) {
        self.core.aside.store(true, Ordering::Relaxed);
        self.core.out.lock().phase = Phase::Closing;
    }

    /// Ends the stream's frames and drops own ones that wait; those pushed later still go out.
    pub fn stop(&self) {
        self.end_stream();
        self.core.out.lock().drop_own();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.core.out.lock().phase = Phase::Shut(None);
        self.hub.left(&self.core);
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("stream", &self.core.stream.id).finish_non_exhaustive()
    }
}
