//! The part of Kubernetes that matters here: who is ready is an endpoint of its track, and nobody else.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{sync::oneshot, time::timeout};

use super::envoy::EndpointFiles;
use crate::world::{Pod, pause, try_request};

/// The manifests say 2 s; a test has less time.
const PROBE_EVERY: Duration = Duration::from_millis(200);
const PROBE_WITHIN: Duration = Duration::from_secs(1);

/// Probes pods from a thread of its own until it is dropped.
pub(crate) struct Endpoints {
    known: Known,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The pods, shared with the thread.
type Known = Arc<Mutex<Vec<Member>>>;

#[derive(Debug, Clone)]
struct Member {
    track: String,
    public: SocketAddr,
    ops: SocketAddr,
}

impl Endpoints {
    /// Tells these files.
    pub(crate) fn of(files: EndpointFiles) -> Self {
        let known = Known::default();
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&known);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = probe(&shared, &files) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { known, stop: Some(stop), thread: Some(thread) }
    }

    /// One more pod.
    pub(crate) fn add(&self, track: &str, pod: &Pod) {
        let member = Member { track: track.to_owned(), public: pod.public, ops: pod.ops };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).push(member);
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn probe(known: &Known, files: &EndpointFiles) {
    let mut told = BTreeMap::new();
    loop {
        let members = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ready = join_all(members.iter().map(is_ready)).await;
        let mut tracks: BTreeMap<String, Vec<SocketAddr>> = BTreeMap::new();
        for (member, is_ready) in members.into_iter().zip(ready) {
            tracks.entry(member.track).or_default().extend(is_ready.then_some(member.public));
        }
        for (track, ready) in &tracks {
            if told.get(track) != Some(ready) {
                files.replace(track, ready);
            }
        }
        told = tracks;
        pause(PROBE_EVERY).await;
    }
}

async fn is_ready(member: &Member) -> bool {
    let answer = timeout(PROBE_WITHIN, try_request(member.ops, "GET", "/ready", &[], b"")).await;
    answer.ok().flatten().is_some_and(|answer| answer.status == 200)
}
