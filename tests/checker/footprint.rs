//! What a pod holds: sockets, subscriptions, descriptors, threads, memory.

use std::{fs, time::Duration};

use serde_json::Value;

use crate::world::{Pod, pause};

/// Further descriptors that are no leak: a connection that a probe opened just now, and one on its way out.
const MORE_DESCRIPTORS: u64 = 4;
/// Further threads: the runtime's for blocking work come and go.
const MORE_THREADS: u64 = 3;
/// What the allocator keeps of work that is done.
const MORE_BYTES: u64 = 48 << 20;
/// What it keeps of a viewer that is gone: its task, its seat and what was under way to it.
const MORE_BYTES_A_VIEWER: u64 = 16 << 10;

/// What a pod holds at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    pub(crate) viewers: u64,
    pub(crate) streams: u64,
    /// On all shards.
    pub(crate) subscriptions: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    pub(crate) resident_bytes: u64,
}

/// A pod before anything, and after everything.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    pub(crate) pod: String,
    pub(crate) before: Footprint,
    pub(crate) after: Footprint,
    /// The most viewers that it had meanwhile.
    pub(crate) most_viewers: u64,
}

impl Footprint {
    /// What the pod holds now.
    pub(crate) async fn of(pod: &Pod) -> Self {
        let ready = pod.probe("/ready").await.json();
        let shards = ready["shards"].as_object().into_iter().flatten();
        let subscriptions = shards.map(|(_, shard)| number(&shard["subscriptions"])).sum();
        let process = format!("/proc/{}", pod.pid);
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        Self {
            viewers: number(&ready["viewers"]),
            streams: number(&ready["streams"]),
            subscriptions,
            descriptors: fs::read_dir(format!("{process}/fd")).unwrap().count() as u64,
            threads: line("Threads:"),
            resident_bytes: line("VmRSS:") * 1024,
        }
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

impl Rest {
    /// Waits until the pod holds what it held before, or for so long.
    pub(crate) async fn of(pod: &Pod, name: &str, before: Footprint, most_viewers: u64) -> Self {
        let mut rest = Self { pod: name.to_owned(), before, after: Footprint::of(pod).await, most_viewers };
        for _ in 0..150 {
            if rest.left_behind().is_empty() {
                break;
            }
            pause(Duration::from_millis(100)).await;
            rest.after = Footprint::of(pod).await;
        }
        rest
    }

    /// What it holds that it should not.
    pub(crate) fn left_behind(&self) -> Vec<String> {
        let Self { before, after, most_viewers, .. } = self;
        let bytes = before.resident_bytes + MORE_BYTES + most_viewers * MORE_BYTES_A_VIEWER;
        let limits = [
            ("viewers", after.viewers, before.viewers),
            ("streams", after.streams, before.streams),
            ("subscriptions", after.subscriptions, before.subscriptions),
            ("descriptors", after.descriptors, before.descriptors + MORE_DESCRIPTORS),
            ("threads", after.threads, before.threads + MORE_THREADS),
            ("bytes of memory", after.resident_bytes, bytes),
        ];
        let over = limits.iter().filter(|(_, held, most)| held > most);
        over.map(|(what, held, most)| format!("{held} {what}, where {most} were expected")).collect()
    }
}
