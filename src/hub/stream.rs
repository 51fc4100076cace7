//! One watched stream on this pod.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{
    batch::{Batch, LatestNotice},
    fanout::Fanout,
    heat::Heat,
    item::Item,
    mark::Mark,
    rolling_counts::RollingCounts,
    tape::{Located, Tape},
    views::TapeView,
};
use crate::{
    domain::{Position, StreamId},
    protocol::SharedFrame,
};

/// A watched stream: its tape, and which lanes hold viewers of it.
pub(super) struct Stream {
    pub(super) id: StreamId,
    /// Tells streams apart that had the same name one after the other.
    pub(super) key: u64,
    /// How many sockets watch or are about to.
    pub(super) audience: AtomicUsize,
    /// How many watch on other pods, as was last heard.
    pub(super) elsewhere: AtomicU64,
    /// Guards the tape and what belongs to its end.
    core: Mutex<Core>,
    opened: Notify,
    /// Whether it is so much work that its lanes gather frames; follows from what was put on the tape.
    hot: AtomicBool,
    pub(super) lanes: Box<[LaneFlag]>,
    /// What became of deliveries lately.
    pub(super) recent: RollingCounts,
}

/// What a lane's handle needs to know of a stream.
#[derive(Default)]
pub(super) struct LaneFlag {
    /// Whether the stream stands in the lane's inbox.
    pub(super) queued: AtomicBool,
    /// How many seats of the stream the lane holds, or will after reading its inbox.
    pub(super) seats: AtomicU32,
}

struct Core {
    /// None until the stream's place in its order is known.
    tape: Option<Tape>,
    notice: Option<LatestNotice>,
    opening: Option<Opening>,
    heat: Heat,
}

/// How far the tape may move on before the shared page for newcomers is encoded anew: what came since is sent after it.
const OPENING_MAY_LAG: u64 = 8;

/// Where a newcomer begins; made once for all that come before it is outdated.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The place before the frames.
    pub position: Position,
    /// The first page of recent comments; none if there are no comments.
    pub page: Option<SharedFrame>,
    /// Where the tape goes on after it.
    pub end: Mark,
}

impl Stream {
    pub(super) fn new(id: StreamId, key: u64, fanout: Fanout) -> Self {
        let lanes = std::iter::repeat_with(LaneFlag::default).take(fanout.lanes).collect();
        let core = Core { tape: None, notice: None, opening: None, heat: Heat::new(fanout.hot_from) };
        let (audience, elsewhere) = (AtomicUsize::new(0), AtomicU64::new(0));
        let (opened, hot) = (Notify::new(), AtomicBool::new(false));
        let (core, recent) = (Mutex::new(core), RollingCounts::new(Instant::now()));
        Self { id, key, audience, elsewhere, core, opened, hot, lanes, recent }
    }

    pub(super) fn is_open(&self) -> bool {
        self.core.lock().tape.is_some()
    }

    /// Returns once the stream's place in its order is known.
    pub(super) async fn opened(&self) {
        loop {
            let opened = self.opened.notified();
            if self.is_open() {
                return;
            }
            opened.await;
        }
    }

    /// Opens the stream at a place, with the items that follow it; one that is open already is left as it is.
    pub(super) fn open(&self, floor: Position, items: impl IntoIterator<Item = Item>, now: Instant) {
        let mut core = self.core.lock();
        if core.tape.is_none() {
            let mut tape = Tape::new(floor);
            items.into_iter().for_each(|item| tape.push(item, now));
            core.tape = Some(tape);
            drop(core);
            self.opened.notify_waiters();
        }
    }

    pub(super) fn push(&self, items: impl IntoIterator<Item = Item>, now: Instant) {
        let core = &mut *self.core.lock();
        if let Some(tape) = &mut core.tape {
            let before = tape.next().index;
            items.into_iter().for_each(|item| tape.push(item, now));
            let items = usize::try_from(tape.next().index - before).unwrap_or(usize::MAX);
            let is_hot = core.heat.add(items, self.viewers(), now);
            self.hot.store(is_hot, Ordering::Relaxed);
        }
    }

    /// Whether it was hot when something was last put on its tape.
    pub(super) fn is_hot(&self) -> bool {
        self.hot.load(Ordering::Relaxed)
    }

    pub(super) fn tell(&self, frame: SharedFrame) {
        let mut core = self.core.lock();
        let version = core.notice_version() + 1;
        core.notice = Some(LatestNotice { version, frame });
    }

    /// The version of the newest notice; 0 before the first.
    pub(super) fn notice_version(&self) -> u64 {
        self.core.lock().notice_version()
    }

    /// Takes frames from a place on, and the newest notice.
    pub(super) fn batch(&self, from: Mark, most: usize, into: &mut Batch) {
        let core = self.core.lock();
        if let Some(tape) = &core.tape {
            tape.batch(from, most, into);
        }
        into.notice.clone_from(&core.notice);
    }

    /// The same for a viewer that is behind: see [`Tape::batch_behind`].
    pub(super) fn batch_behind(
        &self,
        from: (Mark, Option<Instant>),
        skip_to: &mut u64,
        most: usize,
        into: &mut Batch,
    ) {
        let core = self.core.lock();
        if let Some(tape) = &core.tape {
            tape.batch_behind(from, skip_to, most, into);
        }
        into.notice.clone_from(&core.notice);
    }

    /// Runs `at_end` under the tape's lock if nothing comes after the place and the notice: nothing can come in
    /// between.
    pub(super) fn if_end(&self, mark: Mark, noticed: u64, at_end: impl FnOnce()) -> bool {
        let core = self.core.lock();
        let is_end = core.is_end(mark, noticed);
        if is_end {
            at_end();
        }
        is_end
    }

    /// Whether nothing comes after the place and the notice at this moment.
    pub(super) fn is_end(&self, mark: Mark, noticed: u64) -> bool {
        self.core.lock().is_end(mark, noticed)
    }

    pub(super) fn head(&self) -> Option<Position> {
        self.core.lock().tape.as_ref().map(Tape::head)
    }

    pub(super) fn locate(&self, position: &Position) -> Option<Located> {
        self.core.lock().tape.as_ref().map(|tape| tape.locate(position))
    }

    pub(super) fn history(&self, from: Mark) -> Option<(SharedFrame, Mark)> {
        self.core.lock().tape.as_ref().and_then(|tape| tape.history(from))
    }

    pub(super) fn opening(&self) -> Option<Opening> {
        let core = &mut *self.core.lock();
        let tape = core.tape.as_ref()?;
        let next = tape.next();
        let fresh = |opening: &&Opening| {
            next.index - opening.end.index <= OPENING_MAY_LAG && next.resets == opening.end.resets
        };
        let opening = core.opening.as_ref().filter(fresh).cloned().unwrap_or_else(|| Opening::of(tape));
        Some(core.opening.insert(opening).clone())
    }

    /// The tape as it is; none until the stream is open.
    pub(super) fn tape(&self, now: Instant) -> Option<TapeView> {
        self.core.lock().tape.as_ref().map(|tape| tape.view(now))
    }

    /// How many watch on this pod.
    pub(super) fn viewers(&self) -> usize {
        self.audience.load(Ordering::Acquire)
    }

    /// How many watch on all pods.
    pub(super) fn viewers_anywhere(&self) -> u64 {
        (self.viewers() as u64).saturating_add(self.elsewhere.load(Ordering::Relaxed))
    }
}

impl Core {
    fn notice_version(&self) -> u64 {
        self.notice.as_ref().map_or(0, |notice| notice.version)
    }

    fn is_end(&self, mark: Mark, noticed: u64) -> bool {
        let tape_ends = self.tape.as_ref().is_none_or(|tape| tape.next().index == mark.index);
        tape_ends && self.notice_version() == noticed
    }
}

impl Opening {
    fn of(tape: &Tape) -> Self {
        let from = tape.recent();
        let (page, end) = tape.history(from).map_or((None, from), |(page, end)| (Some(page), end));
        Self { position: tape.position(from), page, end }
    }
}
