//! What a viewer's task and its lane share, and the two ways in which it is written to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{
    batch::Batch,
    mark::Mark,
    out::{Out, WRITE_FRAMES, Wrote},
    outlet::SharedOutlet,
    phase::Phase,
    stream::Stream,
    timing::{DeliveryStats, FrameRange},
    views::SeatsView,
};
use crate::{protocol::Close, telemetry::Sli};

/// A viewer whose path is slow goes on at the newest comments when its next frame is older than this.
const STALE: Duration = Duration::from_secs(5);

/// What the viewer's task and its lane share.
pub(super) struct SeatCore {
    pub(super) stream: Arc<Stream>,
    pub(super) lane: usize,
    /// Where the lane keeps the seat; only the lane uses it.
    pub(super) index: AtomicU32,
    /// Whether the lane was told of the seat.
    pub(super) seated: AtomicBool,
    outlet: SharedOutlet,
    /// Whether the lane only tells the viewer's task that something is due.
    is_deferred: bool,
    /// Whether the lane leaves the seat alone; a copy of the phase that needs no lock.
    pub(super) aside: AtomicBool,
    /// Guards the socket's write side: held for one write at a time, never over an await. The stream's lock may be
    /// taken under it, never the other way round.
    pub(super) out: Mutex<Out>,
    /// Wakes the viewer's task: the seat lags, or was shut.
    pub(super) woken: Notify,
}

/// How far a drain came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Everything due is written.
    All,
    /// The socket is full, since the given time.
    Full(Instant),
    /// The limit of [`super::Seat::limit`] is reached; the stream's frames wait.
    Held,
    /// The seat is shut: for a reason to tell the viewer, or because the socket is broken.
    Shut(Option<Close>),
}

/// What the lane did for a seat.
pub(super) enum Served {
    /// It wrote this.
    Wrote(DeliveryStats),
    /// It told the viewer's task of a deferred seat.
    Told,
}

/// What a viewer's task wrote: while its viewer kept up, and while it did not.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) prompt: DeliveryStats,
    pub(super) lagging: DeliveryStats,
}

impl SeatCore {
    pub(super) fn new(stream: Arc<Stream>, lane: usize, outlet: SharedOutlet) -> Self {
        let out = Mutex::new(Out::new(stream.notice_version()));
        let is_deferred = outlet.is_deferred();
        Self {
            stream,
            lane,
            index: AtomicU32::new(0),
            seated: AtomicBool::new(false),
            outlet,
            is_deferred,
            aside: AtomicBool::new(true),
            out,
            woken: Notify::new(),
        }
    }

    /// The lane's way: writes the batch to a prompt seat.
    pub(super) fn deliver(&self, batch: &Batch, now: Instant) -> Served {
        if self.aside.load(Ordering::Relaxed) {
            return Served::Wrote(DeliveryStats::ZERO);
        }
        let mut out = self.out.lock();
        if out.phase != Phase::Prompt {
            return Served::Wrote(DeliveryStats::ZERO);
        }
        if self.is_deferred || out.is_limited() {
            // Its task may have come further than this batch.
            let has_new = !batch.after(out.cursor).is_empty() || batch.notice_after(out.noticed).is_some();
            if !has_new {
                return Served::Wrote(DeliveryStats::ZERO);
            }
            if out.is_limited() {
                self.set_aside(&mut out, Phase::Lagging);
                return Served::Wrote(DeliveryStats::ZERO);
            }
            self.set_aside(&mut out, Phase::Due);
            return Served::Told;
        }
        match out.drain(&*self.outlet, batch, now) {
            Wrote::All => {}
            Wrote::Full => self.set_aside(&mut out, Phase::Lagging),
            Wrote::Broken => self.set_aside(&mut out, Phase::Shut(None)),
            Wrote::TooSlow => self.set_aside(&mut out, Phase::Shut(Some(Close::TooSlow))),
        }
        Served::Wrote(std::mem::take(&mut out.tally))
    }

    /// Has a deferred seat that was told of a batch measure how late the batch's comments are when they are written.
    pub(super) fn measure(&self, batch: &Batch, sli: &Sli) {
        let mut out = self.out.lock();
        match out.phase {
            Phase::Due => out.measures = true,
            // They were written a moment ago.
            Phase::Prompt => {
                let all = FrameRange::between(batch.first, batch.first, batch.end());
                batch.timing.measure(all, &self.stream.id, sli);
            }
            _ => {}
        }
    }

    /// The seat comes to a lane that has already written up to a place and a notice to its others. What the seat does
    /// not have of that, its task writes: no walk will come by with it again.
    pub(super) fn seat_at(&self, done: Mark, noticed: u64) {
        let mut out = self.out.lock();
        let behind = out.cursor.index < done.index || out.noticed < noticed;
        if out.phase == Phase::Prompt && behind {
            self.set_aside(&mut out, Phase::Lagging);
        }
    }

    /// Adds how it stands to the view of its stream's seats.
    pub(super) fn show(&self, next: Mark, now: Instant, into: &mut SeatsView) {
        let out = self.out.lock();
        let full = out.full_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let phase = match out.phase {
            Phase::Prompt | Phase::Due if out.is_limited() => Phase::Lagging,
            phase => phase,
        };
        into.see(phase, next.index.saturating_sub(out.cursor.index), full);
    }

    fn set_aside(&self, out: &mut Out, phase: Phase) {
        out.phase = phase;
        self.aside.store(true, Ordering::Relaxed);
        self.woken.notify_one();
    }

    fn batch_behind(&self, out: &mut Out, now: Instant, batch: &mut Batch) {
        let stale = now.checked_sub(STALE).filter(|_| out.is_limited());
        self.stream.batch_behind((out.cursor, stale), &mut out.skip_to, WRITE_FRAMES, batch);
    }

    /// The viewer's task's way: writes what is due until the socket is full or the tape's end is reached.
    pub(super) fn drain(&self, now: Instant, sent: &mut Sent, sli: &Sli) -> Drained {
        let mut batch = Batch::default();
        loop {
            let mut out = self.out.lock();
            let is_held = out.is_held();
            match out.phase {
                Phase::Shut(close) => return Drained::Shut(close),
                Phase::Lagging | Phase::Due if !is_held => self.batch_behind(&mut out, now, &mut batch),
                _ => batch = Batch::nothing_after(out.cursor),
            }
            batch.timing.judge(now, sli.objectives().deliver);
            let wrote = out.drain(&*self.outlet, &batch, now);
            let tally = std::mem::take(&mut out.tally);
            if out.phase == Phase::Due && !out.is_limited() {
                sent.prompt.add(tally);
                if std::mem::take(&mut out.measures) {
                    batch.timing.measure(tally.span, &self.stream.id, sli);
                }
            } else {
                sent.lagging.add(tally);
            }
            match (wrote, out.phase) {
                (Wrote::Broken, _) => out.phase = Phase::Shut(None),
                (Wrote::TooSlow, _) => out.phase = Phase::Shut(Some(Close::TooSlow)),
                (Wrote::Full, phase) => {
                    if matches!(phase, Phase::Prompt | Phase::Due) {
                        out.phase = Phase::Lagging;
                        self.aside.store(true, Ordering::Relaxed);
                    }
                    return Drained::Full(out.full_since.unwrap_or(now));
                }
                (Wrote::All, phase) if is_held && phase != Phase::Closing => return Drained::Held,
                (Wrote::All, Phase::Lagging | Phase::Due) => {
                    // Under the tape's lock: what comes later finds a prompt seat.
                    let prompt = || self.aside.store(false, Ordering::Relaxed);
                    if self.stream.if_end(out.cursor, out.noticed, prompt) {
                        out.phase = Phase::Prompt;
                        return Drained::All;
                    }
                }
                (Wrote::All, _) => return Drained::All,
            }
        }
    }
}
