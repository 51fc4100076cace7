//! Pods on the same shards.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;

use crate::{PATIENCE, Pod, RedisServer, eventually};

/// How soon a shard that lives is in use, on a busy machine.
pub const HEALED: Duration = PATIENCE;

/// Some pods and the Redis servers that are their shards: `a`, `b`, and so on.
pub struct Cluster {
    /// The pods.
    pub pods: Vec<Pod>,
    /// After the pods, so that they end later. A lock each, because ending and starting a server changes it.
    servers: Vec<Mutex<RedisServer>>,
}

impl Cluster {
    /// Starts them, with these settings for every pod; returns when the pods hear all shards.
    pub async fn start(pods: usize, shards: usize, settings: &[(&str, &str)]) -> Self {
        let cluster = Self::on((0..shards).map(|_| RedisServer::durable()).collect(), pods, settings);
        cluster.healed().await;
        cluster
    }

    /// Starts pods on these servers, whether they answer or not.
    pub fn on(servers: Vec<RedisServer>, pods: usize, settings: &[(&str, &str)]) -> Self {
        let named =
            |(number, server): (usize, &RedisServer)| format!("{}={}", Self::name(number), server.url());
        let list = servers.iter().enumerate().map(named).collect::<Vec<_>>().join(",");
        Self::with_list(&list, servers, pods, settings)
    }

    /// Starts pods with this list of shards.
    pub fn with_list(list: &str, servers: Vec<RedisServer>, pods: usize, settings: &[(&str, &str)]) -> Self {
        let start = |number: usize| {
            let name = format!("pod-{number}");
            let own: [(&str, &str); 2] = [("FANFARE_SHARDS", list), ("FANFARE_POD", &name)];
            Pod::start(&[&own[..], settings].concat())
        };
        Self { pods: (0..pods).map(start).collect(), servers: servers.into_iter().map(Mutex::new).collect() }
    }

    /// What a shard is called.
    pub fn name(number: usize) -> String {
        char::from(b'a' + u8::try_from(number).unwrap()).to_string()
    }

    /// The number of the shard that owns a stream.
    pub async fn owner(&self, stream: &str) -> usize {
        let of_stream = self.pods[0].get(&format!("/v1/streams/{stream}")).await.json();
        let name = of_stream["shard"].as_str().expect("a shard's name").to_owned();
        (0..self.servers.len()).find(|number| Self::name(*number) == name).unwrap()
    }

    /// Streams of a shard.
    pub async fn streams_of(&self, shard: usize, test: &str, count: usize) -> Vec<String> {
        let mut streams = Vec::new();
        while streams.len() < count {
            let stream = crate::stream_for(test);
            if self.owner(&stream).await == shard {
                streams.push(stream);
            }
        }
        streams
    }

    /// A shard's server.
    pub fn redis(&self, number: usize) -> MutexGuard<'_, RedisServer> {
        self.servers[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a pod tells of a shard.
    pub async fn status(&self, pod: usize, shard: usize) -> Value {
        let ready = self.pods[pod].probe("/ready").await;
        assert_eq!(ready.status, 200, "a shard is no reason to be unready: {ready:?}");
        ready.json()["shards"][Self::name(shard)].clone()
    }

    /// Waits until every pod says of a shard that it is up, or that it is not.
    pub async fn until_up(&self, shard: usize, up: bool, within: Duration) {
        for pod in 0..self.pods.len() {
            eventually(&format!("shard {shard} up: {up}"), within, async || {
                (self.status(pod, shard).await["up"] == up).then_some(())
            })
            .await;
        }
    }

    /// Waits until every pod hears every shard.
    pub async fn healed(&self) {
        for shard in 0..self.servers.len() {
            self.until_up(shard, true, HEALED).await;
        }
    }
}
