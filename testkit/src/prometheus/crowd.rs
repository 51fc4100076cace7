//! Load: viewers that read, and comments at a steady rate.

use std::time::Duration;

use serde_json::json;
use tokio::{task::JoinSet, time::timeout};

use crate::{Join, Pod, pause, try_request};

/// Viewers and posters that go on until they are dropped.
pub struct Crowd(#[expect(dead_code, reason = "dropping it ends the tasks")] JoinSet<()>);

impl Crowd {
    /// On each pod so many viewers, spread over so many streams, all of which get a comment every 50 ms from each pod.
    /// Each pod has one viewer more that comes and leaves again and again: to a stream of its own, and to a new one.
    pub async fn on(pods: &[&Pod], viewers: usize, streams: usize) -> Self {
        let mut tasks = JoinSet::new();
        for (number, pod) in pods.iter().enumerate() {
            for viewer in 0..viewers {
                let mut viewer = Join::new(pod, &name(viewer % streams)).open().await;
                tasks.spawn(async move { while viewer.read().await {} });
            }
            let public = pod.public;
            tasks.spawn(async move {
                for n in 0.. {
                    let body = json!({"kind": "comment", "body": n.to_string()}).to_string();
                    let path = format!("/v1/streams/{}/comments", name(n % streams));
                    let json = [("content-type", "application/json")];
                    // A shard in trouble refuses some: that is what is measured.
                    let _ = try_request(public, "POST", &path, &json, body.as_bytes()).await;
                    pause(Duration::from_millis(50) / u32::try_from(streams).unwrap()).await;
                }
            });
            let passing = |n: usize| Join::new(pod, &format!("passing-{number}-{n}"));
            let (same, others): (_, Vec<_>) = ([passing(0)], (1..1_000).map(passing).collect());
            tasks.spawn(async move {
                let turns = same.iter().cycle().zip(others.iter().cycle());
                for join in turns.flat_map(|(same, other)| [same, other]) {
                    if let Some(mut viewer) = join.connect().await {
                        // Until `hello`; in trouble that takes long.
                        let _ = timeout(Duration::from_secs(3), viewer.read()).await;
                    }
                    pause(Duration::from_millis(250)).await;
                }
            });
        }
        Self(tasks)
    }
}

fn name(number: usize) -> String {
    format!("crowd-{number}")
}
