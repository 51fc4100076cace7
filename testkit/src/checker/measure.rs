//! Looks at what a pod's process holds.

use std::{fs, time::Duration};

use serde_json::Value;

use super::{Footprint, Rest};
use crate::{Pod, pause};

impl Footprint {
    /// What the pod holds now.
    pub async fn of(pod: &Pod) -> Self {
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
    pub async fn of(pod: &Pod, name: &str, before: Footprint, most_viewers: u64) -> Self {
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
}
