//! The write side of a viewer's socket: what is due, how far it went, and what the viewer missed.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
};

use bytes::{Buf as _, Bytes};
use tokio::time::Instant;

use super::{
    Outlet,
    batch::{Batch, LatestNotice},
    mark::Mark,
    phase::Phase,
    timing::{DeliveryStats, FrameRange},
};
use crate::protocol::{self, SharedFrame};

/// The most frames in one write: what Linux copies without allocating a longer vector.
pub(super) const WRITE_FRAMES: usize = 16;
/// A viewer's own frames (answers, pongs, pages of history) wait here; when they exceed this, its next message is not
/// read. A page of history and its neighbours fit.
const OWN_BYTES: usize = 40 * 1024;

pub(super) struct Out {
    pub(super) phase: Phase,
    pub(super) cursor: Mark,
    pub(super) noticed: u64,
    /// The rest of a frame of which a part is written.
    partial: Bytes,
    own: VecDeque<Bytes>,
    own_bytes: usize,
    /// The bytes that the socket has taken.
    written: u64,
    /// The stream's frames are written until the socket has taken this many bytes: the viewer's path is slow.
    limit: u64,
    pub(super) full_since: Option<Instant>,
    /// Up to this index of the tape the viewer gets only priority entries: it was too far behind.
    pub(super) skip_to: u64,
    /// Whether the next write of a deferred seat stands for its lane's: how late its comments are is measured.
    pub(super) measures: bool,
    /// What was not yet counted.
    pub(super) tally: DeliveryStats,
}

/// What an attempt to write achieved.
pub(super) enum Wrote {
    All,
    Full,
    Broken,
    /// Nothing: the viewer fell so far behind that it would miss a priority entry.
    TooSlow,
}

/// Points slices at what is due, as much as there are slices for; returns how many are used, and their bytes.
fn lay<'a>(slices: &mut [IoSlice<'a>], due: impl Iterator<Item = &'a [u8]>) -> (usize, usize) {
    let (mut count, mut total) = (0, 0);
    for (slice, bytes) in slices.iter_mut().zip(due) {
        *slice = IoSlice::new(bytes);
        count += 1;
        total += bytes.len();
    }
    (count, total)
}

impl Out {
    pub(super) const fn new(noticed: u64) -> Self {
        Self {
            phase: Phase::Joining,
            cursor: Mark::ZERO,
            noticed,
            partial: Bytes::new(),
            own: VecDeque::new(),
            own_bytes: 0,
            written: 0,
            limit: u64::MAX,
            full_since: None,
            skip_to: 0,
            measures: false,
            tally: DeliveryStats::ZERO,
        }
    }

    pub(super) fn push_own(&mut self, bytes: Bytes) {
        // An empty slice can never be seen to be written.
        if !bytes.is_empty() {
            self.own_bytes += bytes.len();
            self.own.push_back(bytes);
        }
    }

    pub(super) fn drop_own(&mut self) {
        self.own.clear();
        self.own_bytes = 0;
    }

    /// The bytes that the socket will have taken when everything queued so far is written.
    pub(super) fn end(&self) -> u64 {
        self.written + (self.partial.len() + self.own_bytes) as u64
    }

    pub(super) const fn limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Whether the viewer's path is slow: its task writes, as far as the limit allows.
    pub(super) const fn is_limited(&self) -> bool {
        self.limit != u64::MAX
    }

    /// Whether the stream's frames wait for the viewer to read what was written.
    pub(super) const fn is_held(&self) -> bool {
        self.written >= self.limit
    }

    pub(super) const fn has_room(&self) -> bool {
        self.own_bytes < OWN_BYTES
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.own.is_empty() && self.partial.is_empty()
    }

    /// Writes the viewer's own frames, then the batch's frames from the cursor on: the one place that writes.
    pub(super) fn drain(&mut self, outlet: &dyn Outlet, batch: &Batch, now: Instant) -> Wrote {
        if self.cursor.index < batch.first.index {
            if self.cursor.priority < batch.first.priority {
                return Wrote::TooSlow;
            }
            // A full socket collects no more than one `skipped`, however long it stays full.
            if !self.is_flushed() {
                match self.write_all(outlet, &Batch::nothing_after(self.cursor), now) {
                    Wrote::All => {}
                    wrote => return wrote,
                }
            }
            self.skip(batch);
        }
        let from = self.cursor;
        let wrote = self.write_all(outlet, batch, now);
        self.tally.add(batch.timing.tally(FrameRange::between(batch.first, from, self.cursor)));
        wrote
    }

    fn write_all(&mut self, outlet: &dyn Outlet, batch: &Batch, now: Instant) -> Wrote {
        loop {
            match self.write(outlet, batch) {
                Ok(true) => {}
                Ok(false) => return Wrote::All,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.full_since.get_or_insert(now);
                    return Wrote::Full;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Wrote::Broken,
            }
        }
    }

    /// One write of what is due. Returns false if nothing is; a write that took only a part counts as a full socket.
    fn write(&mut self, outlet: &dyn Outlet, batch: &Batch) -> io::Result<bool> {
        let frames = batch.after(self.cursor);
        let notice = batch.notice_after(self.noticed);
        let mut slices = [IoSlice::new(&[]); WRITE_FRAMES];
        let own = (!self.partial.is_empty()).then_some(&self.partial).into_iter().chain(&self.own);
        let last = notice.map(|notice| notice.frame.bytes());
        let (count, total) = match batch.joined_after(self.cursor).filter(|_| self.is_flushed()) {
            Some(joined) => lay(&mut slices, std::iter::once(joined).chain(last.map(|last| &last[..]))),
            None => {
                let shared = frames.iter().map(|(frame, _)| frame.bytes());
                lay(&mut slices, own.chain(shared).chain(last).map(|bytes| &bytes[..]))
            }
        };
        if count == 0 {
            return outlet.flush().map(|()| false);
        }
        let written = outlet.try_write_vectored(&slices[..count])?;
        self.wrote(written, frames, notice);
        if written < total { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(true) }
    }

    /// Takes note of what a write took: first the rest of a frame, then own frames, then the stream's, then the notice.
    fn wrote(&mut self, written: usize, frames: &[(SharedFrame, Mark)], notice: Option<&LatestNotice>) {
        let mut left = written;
        self.written += written as u64;
        if left > 0 {
            self.full_since = None;
        }
        let taken = left.min(self.partial.len());
        left -= taken;
        self.partial.advance(taken);
        if self.partial.is_empty() {
            // An empty slice would keep the whole frame's memory for as long as the viewer stays.
            self.partial = Bytes::new();
        }
        while left > 0 {
            let Some(own) = self.own.pop_front() else { break };
            self.own_bytes -= own.len();
            self.begin(&own, &mut left);
        }
        for (frame, after) in frames {
            if left == 0 {
                return;
            }
            self.begin(frame.bytes(), &mut left);
            self.cursor = *after;
        }
        if let Some(notice) = notice.filter(|_| left > 0) {
            self.begin(notice.frame.bytes(), &mut left);
            self.noticed = notice.version;
        }
    }

    /// A frame of which a part is written is done as far as the cursor is concerned; its rest comes first from now on.
    /// Only such a frame is kept: the count of a shared frame's owners is not touched for each viewer.
    fn begin(&mut self, frame: &Bytes, left: &mut usize) {
        let taken = (*left).min(frame.len());
        *left -= taken;
        if taken < frame.len() {
            self.partial = frame.slice(taken..);
        }
    }

    /// The batch begins after the cursor: the viewer is told what it misses, and goes on at the first frame.
    fn skip(&mut self, batch: &Batch) {
        if let Some(position) = batch.floor {
            // The new history's first word is the reset: the position belongs to the new one already.
            if batch.first.resets > self.cursor.resets {
                self.push_own(protocol::reset(position).bytes().clone());
            }
            let count = batch.first.passed() - self.cursor.passed();
            self.tally.skipped += count;
            if count > 0 {
                self.push_own(protocol::skipped(count, position).bytes().clone());
            }
        }
        self.cursor = batch.first;
    }
}
