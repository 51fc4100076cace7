//! Pods and shards, with the fault proxy on every way between them, and before the pods.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{task::spawn_blocking, time::timeout};

use crate::{
    PATIENCE, Pod, RedisServer, Relay,
    checker::{Footprint, Rest},
    eventually, pause, try_request,
};

/// How long a pod may take to tell how it fares before it counts as silent.
const LOOK: Duration = Duration::from_secs(1);
/// How often a new pod is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long it may take to connect to its shards; one of them may be down.
const CONNECTS: Duration = Duration::from_secs(20);

/// Where everything happens.
pub(super) struct Field {
    shards: Vec<Shard>,
    pub(super) places: Vec<Place>,
}

struct Shard {
    server: Arc<Mutex<RedisServer>>,
    /// Each pod's way to it.
    links: Vec<Relay>,
}

/// Where a pod stands, and after it the next.
pub(super) struct Place {
    /// The pod and what it held when it came; none while there is none.
    pod: Mutex<Option<(Arc<Pod>, Footprint)>>,
    /// Where it listens, or where the last one did.
    address: Mutex<SocketAddr>,
    /// A way for viewers that can be disturbed.
    pub(super) door: Relay,
}

/// What a pod tells of itself, as far as it shows that something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    ready: bool,
    /// Of each shard: whether it is up, and how often something had to be mended.
    shards: Vec<(bool, u64)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Field {
    /// Starts everything; returns when every pod hears every shard.
    pub(super) async fn start(pods: usize, shards: usize) -> Self {
        let mut field = Self { shards: Vec::new(), places: Vec::new() };
        for _ in 0..shards {
            let server = spawn_blocking(RedisServer::durable).await.unwrap();
            let mut links = Vec::new();
            for _ in 0..pods {
                links.push(Relay::to_port(server.port()).await);
            }
            field.shards.push(Shard { server: Arc::new(Mutex::new(server)), links });
        }
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        for number in 0..pods {
            let (pod, address) = (Mutex::new(None), Mutex::new(nowhere));
            field.places.push(Place { pod, address, door: Relay::to(nowhere).await });
            field.start_pod(number, &[]).await;
        }
        field
    }

    /// Starts a pod where there is none.
    pub(super) async fn start_pod(&self, place: usize, further: &[(&'static str, String)]) {
        let link =
            |(number, shard): (usize, &Shard)| format!("s{number}=redis://{}", shard.links[place].address);
        let list = self.shards.iter().enumerate().map(link).collect::<Vec<_>>().join(",");
        let mut settings = vec![
            ("FANFARE_SHARDS", list),
            ("FANFARE_POD", format!("pod-{place}")),
            // Here everybody is busy, and nobody leaves for that.
            ("FANFARE_READY_CPU_HIGH", "1".to_owned()),
            ("FANFARE_LINGER", "1s".to_owned()),
            ("FANFARE_SETTLE", "500ms".to_owned()),
            ("FANFARE_DRAIN", "3s".to_owned()),
        ];
        settings.extend_from_slice(further);
        let start = move || {
            let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
            Pod::start(&settings)
        };
        let pod = Arc::new(spawn_blocking(start).await.unwrap());
        // What it holds is compared with the end: so nobody comes before it has its connections.
        let begun = Instant::now();
        while !Self::look_at(&pod).await.is_some_and(|look| look.is_well()) && begun.elapsed() < CONNECTS {
            pause(LOOK_EVERY).await;
        }
        let footprint = Footprint::of(&pod).await;
        let Place { pod: here, address, door } = &self.places[place];
        *lock(address) = pod.public;
        door.lead_to(pod.public);
        *lock(here) = Some((pod, footprint));
    }

    /// Starts the pods that are missing.
    pub(super) async fn restore(&self) {
        for number in 0..self.places.len() {
            if self.pod(number).is_none() {
                self.start_pod(number, &[]).await;
            }
        }
    }

    /// The pod at a place, if there is one.
    pub(super) fn pod(&self, place: usize) -> Option<Arc<Pod>> {
        lock(&self.places[place].pod).as_ref().map(|(pod, _)| Arc::clone(pod))
    }

    /// Takes the pod from its place, to end it.
    pub(super) fn take_pod(&self, place: usize) -> Arc<Pod> {
        lock(&self.places[place].pod).take().expect("a pod").0
    }

    /// Where a place's pod listens, or where the last one did.
    pub(super) fn address(&self, place: usize) -> SocketAddr {
        *lock(&self.places[place].address)
    }

    /// Does something with a shard's server, which may take long.
    pub(super) async fn redis<T: Send + 'static>(
        &self,
        shard: usize,
        act: impl FnOnce(&mut RedisServer) -> T + Send + 'static,
    ) -> T {
        let server = Arc::clone(&self.shards[shard].server);
        spawn_blocking(move || act(&mut lock(&server))).await.unwrap()
    }

    /// The way from a pod to a shard.
    pub(super) fn link(&self, shard: usize, place: usize) -> &Relay {
        &self.shards[shard].links[place]
    }

    /// Where a shard's server listens.
    pub(super) fn server_address(&self, shard: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], lock(&self.shards[shard].server).port()))
    }

    /// How each pod fares; none of one that is not there or does not say.
    pub(super) async fn look(&self) -> Vec<Option<Look>> {
        let mut looks = Vec::new();
        for number in 0..self.places.len() {
            looks.push(match self.pod(number) {
                Some(pod) => Self::look_at(&pod).await,
                None => None,
            });
        }
        looks
    }

    async fn look_at(pod: &Pod) -> Option<Look> {
        let asked = timeout(LOOK, try_request(pod.ops, "GET", "/ready", &[], b""));
        let answer = asked.await.ok().flatten()?;
        Some(Look::of(answer.status == 200, &answer.json()["shards"]))
    }

    /// The name of the shard that owns a stream.
    pub(super) async fn owner(&self, stream: &str) -> usize {
        let pod = self.pod(0).expect("a pod");
        let of_stream = eventually("the stream's shard", PATIENCE, async || {
            let answer = pod.get(&format!("/v1/streams/{stream}")).await;
            (answer.status == 200).then(|| answer.json())
        });
        let name = of_stream.await["shard"].as_str().unwrap().to_owned();
        name.trim_start_matches('s').parse().unwrap()
    }

    /// Every pod, before anything and now that all viewers have left.
    pub(super) async fn rests(&self, most_viewers: u64) -> Vec<Rest> {
        let mut rests = Vec::new();
        for (number, place) in self.places.iter().enumerate() {
            let Some((pod, before)) = lock(&place.pod).clone() else { continue };
            rests.push(Rest::of(&pod, &format!("pod-{number}"), before, most_viewers).await);
        }
        rests
    }
}

impl Look {
    fn of(ready: bool, shards: &Value) -> Self {
        let mended = |shard: &Value| {
            let counts = ["filled", "gaps", "resets", "overruns", "strange"];
            counts.iter().filter_map(|name| shard[name].as_u64()).sum()
        };
        let of_shard = |(_, shard): (&String, &Value)| (shard["up"] == true, mended(shard));
        Self { ready, shards: shards.as_object().into_iter().flatten().map(of_shard).collect() }
    }

    /// Whether the pod hears all its shards.
    pub(super) fn is_well(&self) -> bool {
        self.ready && self.shards.iter().all(|(up, _)| *up)
    }
}
