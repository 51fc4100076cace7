//! Pods that disagree about the list of shards.

use std::time::Duration;

use serde_json::json;
use testkit::{Join, PATIENCE, Pod, RedisServer, checker::Watch, eventually, pause, post, stream_for};

async fn up(pod: &Pod) {
    eventually("its shards are up", PATIENCE, async || {
        let ready = pod.ready().await;
        ready["shards"].as_object().unwrap().values().all(|shard| shard["up"] == true).then_some(())
    })
    .await;
}

async fn owner(pod: &Pod, stream: &str) -> String {
    pod.get(&format!("/v1/streams/{stream}")).await.json()["shard"].as_str().unwrap().to_owned()
}

/// F1, F2, G1, G4: while pods have two lists, only those with the newer one can post, so that no stream has two orders; a
/// viewer of the older pod is told by a reset that the stream has moved, when it comes to the newer one.
#[tokio::test(flavor = "multi_thread")]
async fn f1_while_pods_have_two_lists_no_stream_has_two_orders() {
    let servers: Vec<_> = (0..3).map(|_| RedisServer::durable()).collect();
    let list = |count: usize| {
        let shards = servers[..count].iter().enumerate().map(|(n, server)| format!("s{n}={}", server.url()));
        shards.collect::<Vec<_>>().join(",")
    };
    let old =
        Pod::start(&[("FANFARE_SHARDS", &list(2)), ("FANFARE_RING_EPOCH", "1"), ("FANFARE_POD", "old")]);
    let new =
        Pod::start(&[("FANFARE_SHARDS", &list(3)), ("FANFARE_RING_EPOCH", "2"), ("FANFARE_POD", "new")]);
    up(&old).await;
    up(&new).await;
    let (mut moved, mut stays) = (None, Vec::new());
    while moved.is_none() || stays.len() < 8 {
        let stream = stream_for("lists");
        match (owner(&old, &stream).await, owner(&new, &stream).await) {
            (before, after) if before == after => stays.push(stream),
            _ => moved = Some(stream),
        }
    }
    let moved = moved.unwrap();
    let mut viewer = Join::new(&old, &moved).open().await;
    old.post(&moved, "on the old shard").await;
    viewer.comments(1).await;
    // From the newer pod's first post to a shard on, that shard knows the newer list.
    for stream in stays.iter().chain([&moved]) {
        new.post(stream, "by the newer pod").await;
    }
    for stream in stays.iter().chain([&moved]) {
        let path = format!("/v1/streams/{stream}/comments");
        let refused = post(old.public, &path, &json!({"kind": "comment", "body": "by the older pod"})).await;
        refused.assert_problem(503, "shard_unavailable");
    }
    let mut frames = viewer.take_frames();
    let mut back = Join::new(&new, &moved).after(&viewer.position).open().await;
    assert_eq!(back.hello()["resumed"], "reset");
    back.comments(1).await;
    pause(Duration::from_millis(200)).await;
    new.post(&moved, "once more").await;
    back.comments(2).await;
    frames.extend(back.take_frames());
    let watch = Watch::of(&moved, &frames);
    let bodies: Vec<_> = watch.comments().map(|(.., body)| body.to_owned()).collect();
    assert_eq!(
        (bodies, watch.resets()),
        (["on the old shard", "by the newer pod", "once more"].map(str::to_owned).to_vec(), 1)
    );
}
