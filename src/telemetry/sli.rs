//! The counts behind the service levels: one method an event, no name of a count elsewhere.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Counts events. Cloning shares the counts.
#[derive(Debug, Clone, Default)]
pub struct Sli(Arc<Tally>);

#[derive(Debug, Default)]
struct Tally {
    deliveries: AtomicU64,
    skips: AtomicU64,
    panics: AtomicU64,
}

/// The counts at a moment, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Live comments written to a viewer's socket.
    pub deliveries: u64,
    /// Comments left out because a viewer was too slow.
    pub skips: u64,
    /// Viewers' tasks that panicked.
    pub panics: u64,
}

impl Sli {
    /// Live comments were written to viewers' sockets.
    pub fn delivered(&self, comments: u64) {
        if comments > 0 {
            self.0.deliveries.fetch_add(comments, Relaxed);
        }
    }

    /// A viewer missed comments, and is told so.
    pub fn skipped(&self, comments: u64) {
        if comments > 0 {
            self.0.skips.fetch_add(comments, Relaxed);
        }
    }

    /// A viewer's task panicked; the viewer's socket is gone, the pod goes on.
    pub fn panicked(&self) {
        self.0.panics.fetch_add(1, Relaxed);
    }

    /// The counts so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let tally = &*self.0;
        Counts {
            deliveries: tally.deliveries.load(Relaxed),
            skips: tally.skips.load(Relaxed),
            panics: tally.panics.load(Relaxed),
        }
    }
}
