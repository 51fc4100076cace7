//! A viewer's place in a stream: a cursor into the tape, and the write side of the viewer's socket.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, IoSlice},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{
    Outlet,
    stream::{Notice, Opening, Stream},
    streams::Hub,
    tape::{Batch, Located, Mark},
};
use crate::{
    domain::Position,
    protocol::{self, Close, SharedFrame},
};

/// The most frames in one write: what Linux copies without allocating a longer vector.
const WRITE_FRAMES: usize = 16;
/// A viewer's own frames (answers, pongs, pages of history) wait here; when they exceed this, its next message is not
/// read. A page of history and its neighbours fit.
const OWN_BYTES: usize = 40 * 1024;
/// A viewer that falls off the tape so often within [`FALLS_WITHIN`] is closed.
const MAX_FALLS: u8 = 3;
const FALLS_WITHIN: Duration = Duration::from_secs(60);

/// A viewer's place in a stream. Dropping it is leaving.
pub struct Seat {
    hub: Hub,
    core: Arc<SeatCore>,
}

/// What the viewer's task and its lane share.
pub(super) struct SeatCore {
    pub(super) stream: Arc<Stream>,
    pub(super) lane: usize,
    /// Where the lane keeps the seat; only the lane uses it.
    pub(super) index: AtomicU32,
    /// Whether the lane was told of the seat.
    pub(super) seated: AtomicBool,
    outlet: Arc<dyn Outlet>,
    /// Whether the lane leaves the seat alone; a copy of the phase that needs no lock.
    aside: AtomicBool,
    /// Guards the socket's write side: held for one write at a time, never over an await.
    out: Mutex<Out>,
    /// Wakes the viewer's task: the seat lags, or was shut.
    woken: Notify,
}

/// Who writes the stream's frames to this socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody: only the viewer's own frames go out. It is joining and reads what came before, or is being closed.
    Private,
    /// The viewer's task: the socket was full.
    Lagging,
    /// The lane.
    Prompt,
    /// Nobody any more.
    Shut(Option<Close>),
}

struct Out {
    phase: Phase,
    cursor: Mark,
    noticed: u32,
    /// The rest of a frame of which a part is written.
    partial: Bytes,
    own: VecDeque<Bytes>,
    own_bytes: usize,
    full_since: Option<Instant>,
    falls: u8,
    fell: Option<Instant>,
    /// Live comments written, and comments left out, since they were last counted.
    delivered: u64,
    skipped: u64,
}

/// How far a drain came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Everything due is written.
    All,
    /// The socket is full, since the given time.
    Full(Instant),
    /// The seat is shut: for a reason to tell the viewer, or because the socket is broken.
    Shut(Option<Close>),
}

/// What one locked attempt to write achieved.
enum Wrote {
    All,
    Full,
    Broken,
}

impl SeatCore {
    /// The lane's way: writes the batch to a prompt seat. Returns how many comments went out.
    pub(super) fn deliver(&self, batch: &Batch, notice: Option<&Notice>, now: Instant) -> u64 {
        if self.aside.load(Ordering::Relaxed) {
            return 0;
        }
        let mut out = self.out.lock();
        if out.phase != Phase::Prompt {
            return 0;
        }
        let wrote = self.drain(&mut out, batch, notice, now);
        if !matches!(wrote, Wrote::All) || out.phase != Phase::Prompt {
            self.set_aside(&mut out, &wrote);
        }
        std::mem::take(&mut out.delivered)
    }

    fn set_aside(&self, out: &mut Out, wrote: &Wrote) {
        if matches!(wrote, Wrote::Broken) {
            out.phase = Phase::Shut(None);
        } else if out.phase == Phase::Prompt {
            out.phase = Phase::Lagging;
        }
        self.aside.store(true, Ordering::Relaxed);
        self.woken.notify_one();
    }

    /// Writes the viewer's own frames, then the batch's frames from the cursor on: the one place that writes.
    fn drain(&self, out: &mut Out, batch: &Batch, notice: Option<&Notice>, now: Instant) -> Wrote {
        let fallen;
        let batch = if out.cursor.index < batch.first.index {
            // The lane is ahead of this seat. The tape itself knows what is left.
            fallen = self.batch_from(out.cursor);
            &fallen
        } else {
            batch
        };
        if out.cursor.index < batch.first.index && !out.fall(batch, now) {
            return Wrote::All;
        }
        loop {
            let start = usize::try_from(out.cursor.index - batch.first.index).unwrap_or(usize::MAX);
            let frames = batch.frames.get(start..).unwrap_or_default();
            let notice = notice.filter(|notice| out.noticed != notice.version);
            match out.write(&*self.outlet, frames, notice) {
                Ok(true) => {}
                Ok(false) => return Wrote::All,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    out.full_since.get_or_insert(now);
                    return Wrote::Full;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Wrote::Broken,
            }
        }
    }

    fn batch_from(&self, cursor: Mark) -> Batch {
        let mut batch = Batch::default();
        self.stream.batch(cursor, WRITE_FRAMES, &mut batch);
        batch
    }

    /// The viewer's task's way: writes what is due until the socket is full or the tape's end is reached.
    fn drain_own(&self, now: Instant) -> Drained {
        let mut batch = Batch::default();
        loop {
            let mut out = self.out.lock();
            let notice = match out.phase {
                Phase::Shut(close) => return Drained::Shut(close),
                Phase::Lagging => self.stream.batch(out.cursor, WRITE_FRAMES, &mut batch),
                Phase::Private | Phase::Prompt => {
                    batch = Batch { first: out.cursor, ..Batch::default() };
                    None
                }
            };
            match self.drain(&mut out, &batch, notice.as_ref(), now) {
                Wrote::Broken => out.phase = Phase::Shut(None),
                Wrote::Full => {
                    if out.phase == Phase::Prompt {
                        out.phase = Phase::Lagging;
                        self.aside.store(true, Ordering::Relaxed);
                    }
                    return Drained::Full(out.full_since.unwrap_or(now));
                }
                Wrote::All => match out.phase {
                    Phase::Shut(close) => return Drained::Shut(close),
                    Phase::Private | Phase::Prompt => return Drained::All,
                    Phase::Lagging => {
                        // Under the tape's lock: a frame that comes later finds a prompt seat.
                        let prompt = || self.aside.store(false, Ordering::Relaxed);
                        if self.stream.if_end(out.cursor, prompt) {
                            out.phase = Phase::Prompt;
                            return Drained::All;
                        }
                    }
                },
            }
        }
    }
}

impl Out {
    /// One write of what is due. Returns false if nothing is; a write that took only a part counts as a full socket.
    fn write(
        &mut self,
        outlet: &dyn Outlet,
        frames: &[(SharedFrame, Mark)],
        notice: Option<&Notice>,
    ) -> io::Result<bool> {
        let mut slices = [IoSlice::new(&[]); WRITE_FRAMES];
        let partial = (!self.partial.is_empty()).then_some(&self.partial);
        let shared = frames.iter().map(|(frame, _)| frame.bytes());
        let notice = notice.filter(|_| frames.len() < WRITE_FRAMES);
        let due = partial.into_iter().chain(&self.own).chain(shared).chain(notice.map(|n| n.frame.bytes()));
        let mut count = 0;
        let mut total = 0;
        for (slice, bytes) in slices.iter_mut().zip(due) {
            *slice = IoSlice::new(bytes);
            count += 1;
            total += bytes.len();
        }
        if count == 0 {
            return Ok(false);
        }
        let written = outlet.try_write_vectored(&slices[..count])?;
        self.wrote(written, count, frames, notice);
        if written < total { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(true) }
    }

    /// Takes note of what a write of the first `count` things due took: first the rest of a frame, then own frames,
    /// then the stream's, then the notice.
    fn wrote(
        &mut self,
        written: usize,
        count: usize,
        frames: &[(SharedFrame, Mark)],
        notice: Option<&Notice>,
    ) {
        let mut left = written;
        let mut things = count;
        if written > 0 {
            self.full_since = None;
        }
        if !self.partial.is_empty() {
            let taken = left.min(self.partial.len());
            self.partial.advance(taken);
            left -= taken;
            things -= 1;
        }
        while left > 0 && things > 0 {
            let Some(own) = self.own.pop_front() else { break };
            self.own_bytes -= own.len();
            self.begin(own, &mut left);
            things -= 1;
        }
        for (frame, after) in frames {
            if left == 0 || things == 0 {
                return;
            }
            self.begin(frame.bytes().clone(), &mut left);
            self.delivered += after.comments - self.cursor.comments;
            self.cursor = *after;
            things -= 1;
        }
        if let Some(notice) = notice.filter(|_| left > 0) {
            self.begin(notice.frame.bytes().clone(), &mut left);
            self.noticed = notice.version;
        }
    }

    /// A frame of which a part is written is done as far as the cursor is concerned; its rest comes first from now on.
    fn begin(&mut self, mut frame: Bytes, left: &mut usize) {
        let taken = (*left).min(frame.len());
        *left -= taken;
        if taken < frame.len() {
            frame.advance(taken);
            self.partial = frame;
        }
    }

    /// The cursor fell off the tape: the viewer is told what it misses, and goes on at the oldest frame. Returns false
    /// if it fell too often and is shut for it.
    fn fall(&mut self, batch: &Batch, now: Instant) -> bool {
        if self.fell.is_none_or(|fell| now.saturating_duration_since(fell) > FALLS_WITHIN) {
            self.fell = Some(now);
            self.falls = 0;
        }
        self.falls += 1;
        if self.falls >= MAX_FALLS {
            self.phase = Phase::Shut(Some(Close::TooSlow));
            return false;
        }
        if let Some(position) = batch.floor {
            let count = batch.first.passed() - self.cursor.passed();
            self.skipped += count;
            if count > 0 {
                self.push_own(protocol::skipped(count, position).bytes().clone());
            }
            if batch.first.resets > self.cursor.resets {
                self.push_own(protocol::reset(position).bytes().clone());
            }
        }
        self.cursor = batch.first;
        true
    }

    fn push_own(&mut self, bytes: Bytes) {
        self.own_bytes += bytes.len();
        self.own.push_back(bytes);
    }
}

impl Seat {
    pub(super) fn new(hub: Hub, stream: Arc<Stream>, lane: usize, outlet: Arc<dyn Outlet>) -> Self {
        let out = Out {
            phase: Phase::Private,
            cursor: Mark::default(),
            noticed: stream.notice_version(),
            partial: Bytes::new(),
            own: VecDeque::new(),
            own_bytes: 0,
            full_since: None,
            falls: 0,
            fell: None,
            delivered: 0,
            skipped: 0,
        };
        let core = SeatCore {
            stream,
            lane,
            index: AtomicU32::new(0),
            seated: AtomicBool::new(false),
            outlet,
            aside: AtomicBool::new(true),
            out: Mutex::new(out),
            woken: Notify::new(),
        };
        Self { hub, core: Arc::new(core) }
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

    /// The next frame for a joiner that has everything before the mark, and the mark after it; none at the tape's end.
    #[must_use]
    pub fn history(&self, from: Mark) -> Option<(SharedFrame, Mark)> {
        self.core.stream.history(from)
    }

    /// How many watch the stream on this pod.
    #[must_use]
    pub fn viewers(&self) -> u64 {
        self.core.stream.viewers() as u64
    }

    /// Queues a frame for this viewer alone; it goes out between the stream's frames at the next [`Self::drain`].
    pub fn push(&self, frame: &SharedFrame) {
        self.push_bytes(frame.bytes().clone());
    }

    /// Queues bytes of complete frames for this viewer alone.
    pub fn push_bytes(&self, bytes: Bytes) {
        self.core.out.lock().push_own(bytes);
    }

    /// Whether the viewer takes its own frames fast enough that its next message may be read.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.core.out.lock().own_bytes < OWN_BYTES
    }

    /// Whether none of the viewer's own frames waits.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        let out = self.core.out.lock();
        out.own.is_empty() && out.partial.is_empty()
    }

    /// Ends the joining: from now on the viewer gets the stream's frames after the mark.
    pub fn enter(&self, mark: Mark) {
        {
            let mut out = self.core.out.lock();
            if out.phase != Phase::Private {
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
        let drained = self.core.drain_own(now);
        let mut out = self.core.out.lock();
        self.hub.sli().delivered(std::mem::take(&mut out.delivered));
        self.hub.sli().skipped(std::mem::take(&mut out.skipped));
        drained
    }

    /// Returns when the seat needs the viewer's task: it lags, or was shut.
    pub async fn woken(&self) {
        self.core.woken.notified().await;
    }

    /// Ends the stream's frames and drops own ones that wait; those pushed later still go out, such as a close.
    pub fn stop(&self) {
        self.core.aside.store(true, Ordering::Relaxed);
        let mut out = self.core.out.lock();
        out.phase = Phase::Private;
        out.own.clear();
        out.own_bytes = 0;
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
