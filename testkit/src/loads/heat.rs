//! What makes a pod hot: posts, as many as it takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::time::timeout;

use crate::{Pod, try_request};

/// A thread that posts to a pod until it is dropped.
pub struct Heater {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Heater {
    /// Begins at once: batches that are refused, comment by comment, so that only this pod works for them.
    pub fn on(pod: &Pod) -> Self {
        let (address, stop) = (pod.public, Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let line = serde_json::json!({"stream": "a stream has no spaces", "kind": "comment", "body": "hot"});
        let batch = serde_json::json!({"comments": vec![line; 500]}).to_string();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let headers = [("content-type", "application/json")];
                let post = async || {
                    while !stopped.load(Ordering::Relaxed) {
                        let asked = try_request(address, "POST", "/v1/comments", &headers, batch.as_bytes());
                        let _ = timeout(Duration::from_secs(10), asked).await;
                    }
                };
                tokio::join!(post(), post(), post());
            });
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Heater {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
