//! A lane: one worker's share of the seats, and the loop that writes to them.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque, hash_map::Entry},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    select,
    time::{Instant, sleep_until},
};

use super::{
    batch::Batch,
    inbox::{Inbox, Lists},
    mark::Mark,
    seat_core::{SeatCore, Served},
    stream::Stream,
    timing::{self, DeliveryStats, FrameRange},
    views::{LaneQuestion, SeatsView},
};
use crate::telemetry::{Seating, Sli};

/// How many seats are written to before other streams, and other tasks, have their turn: about half a millisecond.
const SLICE_SEATS: usize = 256;
/// The most frames that are taken from a tape for one walk over its seats.
const BATCH_FRAMES: usize = timing::MAX_FRAMES;

/// One worker's share of the seats of all streams.
pub struct Lane {
    number: usize,
    inbox: Arc<Inbox>,
    taken: Lists,
    rows: HashMap<u64, Row>,
    /// The streams that have something to write, each once, in the order of their turns.
    pub(super) turns: VecDeque<u64>,
    /// The hot streams that gather frames, each once, and when that ends.
    pub(super) gathering: BinaryHeap<Reverse<(Instant, u64)>>,
    window: Duration,
    sli: Sli,
}

/// Where a stream stands with a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// Nothing is to be written.
    Idle,
    /// In `turns`.
    Turn,
    /// In `gathering`. Its flag says "queued", so that nobody wakes the lane for it.
    Gathering,
}

/// A stream's seats on this lane.
struct Row {
    stream: Arc<Stream>,
    /// Dense: the walk over a hot stream's seats is a walk over memory.
    seats: Vec<Arc<SeatCore>>,
    /// Every prompt seat has everything before this, and this notice, except where the walk did not come yet.
    done: Mark,
    noticed: u64,
    /// What the present walk writes.
    batch: Batch,
    /// How many seats the present walk has passed; none if there is no walk.
    walked: Option<usize>,
    /// When the last flush began; none if the last walk did not have everything that was due.
    flushed: Option<Instant>,
    stand: Stand,
    /// Which frames of the present walk were written to any seat.
    written: FrameRange,
    /// The last deferred seat that the present walk told of them.
    told: Option<Arc<SeatCore>>,
}

impl Lane {
    pub(super) fn new(number: usize, inbox: Arc<Inbox>, window: Duration, sli: Sli) -> Self {
        let (rows, turns, gathering) = (HashMap::new(), VecDeque::new(), BinaryHeap::new());
        Self { number, inbox, taken: Lists::default(), rows, turns, gathering, window, sli }
    }

    /// Writes for ever: whenever a tape of this lane's streams moves on.
    pub async fn run(mut self) {
        loop {
            if self.turn(Instant::now()) {
                tokio::task::yield_now().await;
            } else {
                let inbox = Arc::clone(&self.inbox);
                match self.gathering.peek() {
                    Some(Reverse((until, _))) => select! {
                        () = inbox.some.notified() => {}
                        () = sleep_until(*until) => {}
                    },
                    None => inbox.some.notified().await,
                }
            }
        }
    }

    /// Reads the inbox, then writes to a slice of seats. Returns whether there is more to write.
    pub(super) fn turn(&mut self, now: Instant) -> bool {
        self.read_inbox(now);
        self.write_slice(SLICE_SEATS, now)
    }

    pub(super) fn write_slice(&mut self, seats: usize, now: Instant) -> bool {
        let mut budget = seats;
        while budget > 0 {
            let Some(key) = self.turns.pop_front() else { return false };
            let Entry::Occupied(mut row) = self.rows.entry(key) else { continue };
            if row.get().seats.is_empty() {
                row.remove();
                continue;
            }
            let row = row.get_mut();
            let (written, tally) = row.walk(budget, now, &self.sli);
            self.sli.delivered(Seating::Prompt, tally.delivered, tally.late);
            self.sli.skipped(Seating::Prompt, tally.skipped);
            row.stream.recent.add(tally.activity(), now);
            // A stream without seats to write to still costs a look.
            budget = budget.saturating_sub(written.max(1));
            row.stand = Stand::Idle;
            if row.has_more() {
                self.line_up(key, now);
            }
        }
        !self.turns.is_empty()
    }

    /// Gives a stream that has something to write its turn, after the window of its last flush if it is hot.
    fn line_up(&mut self, key: u64, now: Instant) {
        let Some(row) = self.rows.get_mut(&key).filter(|row| row.stand == Stand::Idle) else { return };
        let may_wait = row.walked.is_none() && row.stream.is_hot();
        let until = row.flushed.filter(|_| may_wait).map(|flushed| flushed + self.window);
        if let Some(until) = until.filter(|until| *until > now) {
            row.stand = Stand::Gathering;
            row.stream.lanes[self.number].queued.store(true, Ordering::Release);
            self.gathering.push(Reverse((until, key)));
        } else {
            row.stand = Stand::Turn;
            self.turns.push_back(key);
        }
    }

    /// Streams whose window is over have their turn.
    fn end_gathering(&mut self, now: Instant) {
        while let Some(Reverse((_, key))) = self.gathering.peek().copied().filter(|is| is.0.0 <= now) {
            self.gathering.pop();
            if let Some(row) = self.rows.get_mut(&key) {
                // First the flag, then the tape, as in `read_inbox`.
                row.stream.lanes[self.number].queued.swap(false, Ordering::AcqRel);
                row.stand = Stand::Turn;
                self.turns.push_back(key);
            }
        }
    }

    /// Takes in who came and left, and what is to be written from now on.
    pub(super) fn read_inbox(&mut self, now: Instant) {
        self.end_gathering(now);
        std::mem::swap(&mut *self.inbox.lists.lock(), &mut self.taken);
        let mut taken = std::mem::take(&mut self.taken);
        for (seat, mark) in taken.joined.drain(..) {
            let stream = &seat.stream;
            let row = self.rows.entry(stream.key).or_insert_with(|| Row::new(Arc::clone(stream), mark));
            row.add(seat);
        }
        for seat in taken.left.drain(..) {
            let key = seat.stream.key;
            // A row that stands somewhere goes at its turn: else the stream could come to stand there twice.
            if self.rows.get_mut(&key).is_some_and(|row| row.remove(&seat) && row.stand == Stand::Idle) {
                self.rows.remove(&key);
            }
        }
        for stream in taken.woken.drain(..) {
            // Here and not later: the flag says what the inbox holds, whatever becomes of the row. And first the flag,
            // then the tape: what is not seen on the tape wakes the lane again. Reading the flag, too, makes it so for
            // those who found it set.
            let is_gathering = self.rows.get(&stream.key).is_some_and(|row| row.stand == Stand::Gathering);
            if !is_gathering {
                stream.lanes[self.number].queued.swap(false, Ordering::AcqRel);
                self.line_up(stream.key, now);
            }
        }
        for LaneQuestion { key, answer } in taken.asked.drain(..) {
            // Whoever asked may have gone.
            let _ = answer.send(self.rows.get(&key).map(Row::view).unwrap_or_default());
        }
        self.taken = taken;
    }
}

impl Row {
    fn new(stream: Arc<Stream>, done: Mark) -> Self {
        let (seats, batch) = (Vec::new(), Batch::default());
        Self {
            stream,
            seats,
            done,
            noticed: 0,
            batch,
            walked: None,
            flushed: None,
            stand: Stand::Idle,
            written: FrameRange::NONE,
            told: None,
        }
    }

    /// Writes what is new to up to `most` seats. Returns how many seats that were, and what they were sent.
    fn walk(&mut self, most: usize, now: Instant, sli: &Sli) -> (usize, DeliveryStats) {
        if self.walked.is_none() {
            self.stream.batch(self.done, BATCH_FRAMES, &mut self.batch);
            let is_new = !self.batch.frames.is_empty() || self.batch.notice_after(self.noticed).is_some();
            if !is_new {
                return (0, DeliveryStats::default());
            }
            self.batch.join_for(self.seats.len());
            self.flushed = self.batch.reaches_end.then_some(now);
        }
        let from = self.walked.unwrap_or(0);
        let to = self.seats.len().min(from + most);
        let mut sum = DeliveryStats::ZERO;
        self.batch.timing.judge(now, sli.objectives().deliver);
        let mut told = None;
        for seat in &self.seats[from..to] {
            match seat.deliver(&self.batch, now) {
                Served::Wrote(tally) => sum.add(tally),
                Served::Told => told = Some(seat),
            }
        }
        if let Some(told) = told {
            self.told = Some(Arc::clone(told));
        }
        self.written = self.written.and(sum.span);
        if to < self.seats.len() {
            self.walked = Some(to);
        } else {
            self.walked = None;
            self.batch.timing.measure(std::mem::take(&mut self.written), &self.stream.id, sli);
            if let Some(told) = self.told.take() {
                told.measure(&self.batch, sli);
            }
            self.done = self.batch.end();
            self.noticed = self.batch.notice.as_ref().map_or(self.noticed, |notice| notice.version);
            self.batch.clear();
        }
        (to - from, sum)
    }

    fn view(&self) -> SeatsView {
        let (now, mut view) = (Instant::now(), SeatsView::default());
        let next = self.stream.tape(now).map_or(self.done, |tape| tape.next);
        self.seats.iter().for_each(|seat| seat.show(next, now, &mut view));
        view
    }

    /// Whether the walk is not over, or something came since it began.
    fn has_more(&self) -> bool {
        self.walked.is_some() || !self.stream.is_end(self.done, self.noticed)
    }

    fn add(&mut self, seat: Arc<SeatCore>) {
        seat.index.store(index(self.seats.len()), Ordering::Relaxed);
        seat.seat_at(self.done, self.noticed);
        self.seats.push(seat);
    }

    /// Removes a seat; returns whether none is left. The seats that the walk has passed stay in front of the others.
    fn remove(&mut self, seat: &Arc<SeatCore>) -> bool {
        let mut hole = seat.index.load(Ordering::Relaxed) as usize;
        if self.seats.get(hole).is_some_and(|at| Arc::ptr_eq(at, seat)) {
            if let Some(walked) = self.walked.as_mut().filter(|walked| hole < **walked) {
                *walked -= 1;
                self.seats.swap(hole, *walked);
                self.seats[hole].index.store(index(hole), Ordering::Relaxed);
                hole = *walked;
            }
            self.seats.swap_remove(hole);
            if let Some(moved) = self.seats.get(hole) {
                moved.index.store(index(hole), Ordering::Relaxed);
            }
        }
        self.seats.is_empty()
    }
}

/// A pod has far fewer than 2^32 sockets.
fn index(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
