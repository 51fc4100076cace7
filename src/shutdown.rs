//! Who owns every task, and how viewers are asked to go.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// The owner of every task of the pod. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Tasks(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Tasks that the pod cannot do without.
    core: TaskTracker,
    /// One task a viewer's socket, from before its 101 on.
    sockets: TaskTracker,
    /// One task an HTTP connection.
    requests: TaskTracker,
    /// A token for each of these that carries viewers.
    carriers: TaskTracker,
    stop: CancellationToken,
    broken: CancellationToken,
    /// Guards the name of the first core task that broke.
    culprit: Mutex<Option<&'static str>>,
}

/// A place among the viewers' sockets, taken before the task that uses it begins.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held for its drop")] TaskTrackerToken);

/// A connection that carries viewers, for as long as it does.
#[derive(Debug)]
pub struct Carrier(#[expect(dead_code, reason = "held for its drop")] TaskTrackerToken);

impl Tasks {
    /// Starts a task that the pod cannot do without: should it end by itself or panic, the process ends.
    pub fn core(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let inner = Arc::clone(&self.0);
        self.0.core.spawn(async move {
            let stopped = inner.stop.cancelled();
            tokio::select! {
                // What ends because the others were stopped did not break.
                biased;
                () = stopped => {}
                end = AssertUnwindSafe(task).catch_unwind() => {
                    tracing::error!(task = name, panicked = end.is_err(), "a core task ended");
                    inner.culprit.lock().get_or_insert(name);
                    inner.broken.cancel();
                }
            }
        });
    }

    /// Takes a place for a viewer's socket.
    #[must_use]
    pub fn place(&self) -> Place {
        Place(self.0.sockets.token())
    }

    /// Starts a viewer's task in its place.
    pub fn socket(&self, place: Place, task: impl Future<Output = ()> + Send + 'static) {
        self.0.sockets.spawn(task);
        drop(place);
    }

    /// Starts the task of one HTTP connection.
    pub fn request(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.requests.spawn(task);
    }

    /// How many HTTP connections are open that carry no viewers.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.0.requests.len().saturating_sub(self.0.carriers.len())
    }

    /// Takes a connection out of [`Self::requests`] for as long as it carries viewers: these are counted themselves.
    #[must_use]
    pub fn carrier(&self) -> Carrier {
        Carrier(self.0.carriers.token())
    }

    /// Returns once no viewer's socket is left.
    pub async fn sockets_gone(&self) {
        self.0.sockets.close();
        self.0.sockets.wait().await;
    }

    /// How many viewers' sockets there are.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.0.sockets.len()
    }

    /// Returns once no HTTP connection is left.
    pub async fn requests_gone(&self) {
        self.0.requests.close();
        self.0.requests.wait().await;
    }

    /// Returns the name of a core task that broke, once one has.
    pub async fn broken(&self) -> &'static str {
        self.0.broken.cancelled().await;
        self.0.culprit.lock().unwrap_or("unknown")
    }

    /// Ends the core tasks and returns when they have ended.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        self.0.core.close();
        self.0.core.wait().await;
    }
}

/// The stages in which a listener ends. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    announced: CancellationToken,
    refused: CancellationToken,
    closed: CancellationToken,
}

impl Ending {
    /// From now on each answer is the last one of its connection, and says so.
    pub fn announce(&self) {
        self.announced.cancel();
    }

    /// From now on no connection is accepted.
    pub fn refuse(&self) {
        self.announce();
        self.refused.cancel();
    }

    /// From now on connections without a request are closed.
    pub fn close(&self) {
        self.refuse();
        self.closed.cancel();
    }

    /// Returns whether each answer is the last one of its connection.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        self.announced.is_cancelled()
    }

    /// Returns once no connection is accepted any more.
    pub async fn refused(&self) {
        self.refused.cancelled().await;
    }

    /// Returns once connections without a request are to be closed.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }
}

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
    async fn a_core_task_that_panics_breaks_the_pod_and_one_that_is_stopped_does_not() {
        let tasks = Tasks::default();
        tasks.core("steady", std::future::pending());
        tasks.core("shaky", async { panic!("on purpose") });
        assert_eq!(tasks.broken().await, "shaky");
        tasks.stop().await;
    }

    /// Symptom: a clean exit logged that a keeper had broken. Cause: its link was stopped first, and it ended for that.
    #[tokio::test]
    async fn what_ends_because_others_were_stopped_did_not_break() {
        for _ in 0..50 {
            let tasks = Tasks::default();
            let (keeps, mut ends) = tokio::sync::mpsc::channel::<()>(1);
            tasks.core("link", async move {
                let _keeps = keeps;
                std::future::pending::<()>().await;
            });
            tasks.core("keeper", async move { assert!(ends.recv().await.is_none()) });
            tokio::task::yield_now().await;
            tasks.stop().await;
            assert!(!tasks.0.broken.is_cancelled());
        }
    }

    #[tokio::test]
    async fn a_place_counts_before_its_task_begins() {
        let tasks = Tasks::default();
        let place = tasks.place();
        assert_eq!(tasks.sockets(), 1);
        tasks.socket(place, async {});
        tasks.sockets_gone().await;
        assert_eq!(tasks.sockets(), 0);
    }

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
