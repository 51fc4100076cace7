//! The order in which viewers are asked to connect elsewhere.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::sync::Semaphore;

/// Asks viewers, one after the other, to connect elsewhere; those who came first go first. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Release(Arc<Turns>);

#[derive(Debug)]
struct Turns {
    /// A permit is one viewer's turn. Its queue is fair.
    turns: Semaphore,
    waiting: AtomicUsize,
    drains: AtomicBool,
}

/// Why a viewer is asked to connect elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// The pod goes away.
    Drain,
    /// The pod has more than its share.
    Rebalance,
}

impl Default for Release {
    fn default() -> Self {
        Self(Arc::new(Turns {
            turns: Semaphore::new(0),
            waiting: AtomicUsize::new(0),
            drains: AtomicBool::new(false),
        }))
    }
}

impl Release {
    /// Returns when it is this viewer's turn to go, and why.
    pub async fn asked(&self) -> Move {
        let _waits = Waits::begin(&self.0.waiting);
        match self.0.turns.acquire().await {
            Ok(turn) => turn.forget(),
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
        if self.0.drains.load(Ordering::Relaxed) { Move::Drain } else { Move::Rebalance }
    }

    /// From now on viewers are asked because the pod goes away.
    pub fn drain(&self) {
        self.0.drains.store(true, Ordering::Relaxed);
    }

    /// Gives so many viewers their turn.
    pub fn ask(&self, viewers: usize) {
        self.0.turns.add_permits(viewers);
    }

    /// Takes back the turns that nobody took.
    pub fn withdraw(&self) {
        self.0.turns.forget_permits(self.0.turns.available_permits());
    }

    /// How many viewers have not been asked.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }
}

/// Counts one waiting viewer until it is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn viewers_are_asked_in_the_order_in_which_they_came() {
        let release = Release::default();
        let (first, second) = (release.asked(), release.asked());
        tokio::pin!(first, second);
        assert!(
            futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending()
        );
        assert_eq!(release.waiting(), 2);
        release.ask(1);
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!(futures_util::poll!(&mut first), std::task::Poll::Ready(Move::Rebalance));
        release.drain();
        release.ask(1);
        assert_eq!(futures_util::poll!(&mut second), std::task::Poll::Ready(Move::Drain));
    }

    #[tokio::test]
    async fn a_turn_that_nobody_took_can_be_taken_back() {
        let release = Release::default();
        release.ask(3);
        release.withdraw();
        let late = release.asked();
        tokio::pin!(late);
        assert!(futures_util::poll!(&mut late).is_pending());
    }
}
