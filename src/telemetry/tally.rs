//! The counts behind the counters: atomics, so that counting on the way to a socket takes no lock and no memory.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;

use super::{
    events::{JoinSpeed, PostOutcome, Seating, Signal},
    figures::{Counts, Figures},
};

/// Live comments on their way to viewers of one sort.
#[derive(Debug, Default)]
struct Deliveries {
    within: AtomicU64,
    late: AtomicU64,
    skipped: AtomicU64,
}

/// Every count of the pod since its start.
#[derive(Default)]
pub(super) struct Tally {
    prompt: Deliveries,
    lagging: Deliveries,
    posts: [AtomicU64; 4],
    joins: [AtomicU64; 3],
    /// Guards the closes by code and reason; a handful, since both come from one table.
    closes: Mutex<Vec<(u16, &'static str, u64)>>,
    negative_clocks: AtomicU64,
    panics: AtomicU64,
    dropped: [AtomicU64; 3],
    figures: OnceLock<Box<dyn Fn() -> Figures + Send + Sync>>,
}

/// Adds, unless there is nothing to add: the cache line may belong to another worker.
fn add(counter: &AtomicU64, more: u64) {
    if more > 0 {
        counter.fetch_add(more, Relaxed);
    }
}

impl Tally {
    const fn deliveries_to(&self, seating: Seating) -> &Deliveries {
        match seating {
            Seating::Prompt => &self.prompt,
            Seating::Lagging => &self.lagging,
        }
    }

    pub(super) fn deliver(&self, seating: Seating, delivered: u64, late: u64) {
        let deliveries = self.deliveries_to(seating);
        add(&deliveries.within, delivered.saturating_sub(late));
        add(&deliveries.late, late);
    }

    pub(super) fn skip(&self, seating: Seating, comments: u64) {
        add(&self.deliveries_to(seating).skipped, comments);
    }

    pub(super) fn post(&self, outcome: PostOutcome) {
        add(&self.posts[outcome as usize], 1);
    }

    pub(super) fn join(&self, speed: JoinSpeed) {
        add(&self.joins[speed as usize], 1);
    }

    pub(super) fn close(&self, code: u16, reason: &'static str) {
        let mut closes = self.closes.lock();
        match closes.iter_mut().find(|(known, why, _)| *known == code && *why == reason) {
            Some((.., count)) => *count += 1,
            None => closes.push((code, reason, 1)),
        }
    }

    pub(super) fn negative_clock(&self) {
        add(&self.negative_clocks, 1);
    }

    pub(super) fn panic(&self) {
        add(&self.panics, 1);
    }

    pub(super) fn drop_some(&self, signal: Signal, count: u64) {
        add(&self.dropped[signal as usize], count);
    }

    /// Says where the figures are that others keep; only the first to say so is heard.
    pub(super) fn look_at(&self, figures: Box<dyn Fn() -> Figures + Send + Sync>) {
        let _ = self.figures.set(figures);
    }

    pub(super) fn figures(&self) -> Figures {
        self.figures.get().map(|figures| figures()).unwrap_or_default()
    }

    /// How many live comments there were, by `slo` and `seat`.
    pub(super) fn deliveries(&self) -> [(&'static str, &'static str, u64); 6] {
        let of = |seat, Deliveries { within, late, skipped }: &Deliveries| {
            [("within", within), ("late", late), ("skipped", skipped)]
                .map(|(slo, count)| (slo, seat, count.load(Relaxed)))
        };
        let ([a, b, c], [d, e, f]) = (of("prompt", &self.prompt), of("lagging", &self.lagging));
        [a, b, c, d, e, f]
    }

    pub(super) fn posts(&self, outcome: PostOutcome) -> u64 {
        self.posts[outcome as usize].load(Relaxed)
    }

    pub(super) fn joins(&self, speed: JoinSpeed) -> u64 {
        self.joins[speed as usize].load(Relaxed)
    }

    pub(super) fn closes(&self) -> Vec<(u16, &'static str, u64)> {
        self.closes.lock().clone()
    }

    pub(super) fn negative_clocks(&self) -> u64 {
        self.negative_clocks.load(Relaxed)
    }

    pub(super) fn dropped(&self, signal: Signal) -> u64 {
        self.dropped[signal as usize].load(Relaxed)
    }

    pub(super) fn counts(&self) -> Counts {
        let sum = |wanted: &[&str]| {
            let of = self.deliveries().into_iter().filter(|(slo, ..)| wanted.contains(slo));
            of.map(|(.., count)| count).sum()
        };
        Counts {
            deliveries: sum(&["within", "late"]),
            skips: sum(&["skipped"]),
            panics: self.panics.load(Relaxed),
        }
    }
}
