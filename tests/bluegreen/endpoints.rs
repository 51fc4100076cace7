//! The part of Kubernetes that matters here: who is ready is an endpoint of its track, and nobody else.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use futures_util::future::join_all;
use serde::Deserialize as _;
use serde_json::Value;
use testkit::{Pod, pause, try_request};
use tokio::{sync::oneshot, time::timeout};

use super::{
    istiod::{Endpoint, Istiod},
    stage::{manifests, rendered},
};

/// The manifests say 2 s; a test has less time.
const PROBE_EVERY: Duration = Duration::from_millis(200);
const PROBE_WITHIN: Duration = Duration::from_secs(1);

/// Probes pods from a thread of its own until it is dropped.
pub(crate) struct Endpoints {
    known: Known,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// The labels that the overlays give to the pods of blue and of green.
    labels: [Value; 2],
}

/// The pods, shared with the thread.
type Known = Arc<Mutex<Vec<Member>>>;

#[derive(Debug, Clone)]
struct Member {
    endpoint: Endpoint,
    /// The port of the probes; `None` for a pod that is an endpoint whatever it answers.
    ops: Option<SocketAddr>,
}

impl Endpoints {
    /// Tells this istiod.
    pub(crate) fn of(istiod: Istiod) -> Self {
        let known = Known::default();
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&known);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = probe(&shared, &istiod) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { known, stop: Some(stop), thread: Some(thread), labels: ["blue", "green"].map(labels) }
    }

    /// The number of pods.
    pub(crate) fn count(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// One more pod, of the track that its name begins with.
    pub(crate) fn add(&self, name: &str, pod: &Pod) {
        self.push(name, pod, Some(pod.ops));
    }

    /// One more pod, which stays an endpoint when it is not ready: as it is for the moment that the news takes.
    pub(crate) fn add_unprobed(&self, name: &str, pod: &Pod) {
        self.push(name, pod, None);
    }

    fn push(&self, name: &str, pod: &Pod, ops: Option<SocketAddr>) {
        let labels = self.labels[usize::from(name.starts_with("green"))].clone();
        let endpoint = Endpoint { name: name.to_owned(), labels, address: pod.public, is_ready: false };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).push(Member { endpoint, ops });
    }
}

/// The labels of a track's pods.
fn labels(track: &str) -> Value {
    let text = rendered(&manifests(), track);
    let mut objects =
        serde_yaml_ng::Deserializer::from_str(&text).map(|object| Value::deserialize(object).unwrap());
    let deployment = objects.find(|object| object["kind"] == "Deployment").expect("a track has a Deployment");
    deployment["spec"]["template"]["metadata"]["labels"].clone()
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn probe(known: &Known, istiod: &Istiod) {
    let mut told = Vec::new();
    loop {
        let members = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ready = join_all(members.iter().map(is_ready)).await;
        let endpoint = |(member, is_ready): (Member, bool)| Endpoint { is_ready, ..member.endpoint };
        let endpoints: Vec<_> = members.into_iter().zip(ready).map(endpoint).collect();
        if endpoints != told {
            istiod.set_endpoints(&endpoints);
        }
        told = endpoints;
        pause(PROBE_EVERY).await;
    }
}

async fn is_ready(member: &Member) -> bool {
    let Some(ops) = member.ops else { return true };
    let answer = timeout(PROBE_WITHIN, try_request(ops, "GET", "/ready", &[], b"")).await;
    answer.ok().flatten().is_some_and(|answer| answer.status == 200)
}
