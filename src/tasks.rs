//! The owner of every task of the pod.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
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
pub struct SocketSlot(#[expect(dead_code, reason = "held for its drop")] TaskTrackerToken);

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
    pub fn place(&self) -> SocketSlot {
        SocketSlot(self.0.sockets.token())
    }

    /// Starts a viewer's task in its place.
    pub fn socket(&self, place: SocketSlot, task: impl Future<Output = ()> + Send + 'static) {
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
}
