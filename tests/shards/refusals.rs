//! Shards that refuse writes of any kind, beside each other on one pod.

use std::fs;

use serde_json::json;
use testkit::{Cluster, HEALED, Join, Pod, RedisServer, eventually, post};

/// The number of shards, one for each cause of refusals.
const SHARDS: usize = 4;

/// Lets each server refuse writes for a cause of its own.
async fn refuse_writes(cluster: &Cluster) {
    let config = |number: usize, name: &str, value: &str| {
        assert_eq!(cluster.redis(number).cli(&["CONFIG", "SET", name, value]), "OK", "{name}");
    };
    config(0, "min-replicas-to-write", "1");
    // A folder stands where the snapshot is to be.
    fs::create_dir(cluster.redis(1).folder().join("dump.rdb")).unwrap();
    config(1, "save", "3600 1");
    cluster.redis(1).cli(&["BGSAVE"]);
    // Nobody listens on port 1: the replica keeps what it has.
    assert_eq!(cluster.redis(2).cli(&["REPLICAOF", "127.0.0.1", "1"]), "OK");
    config(3, "maxmemory", "1");
    for (number, error) in ["NOREPLICAS", "MISCONF", "READONLY", "OOM"].into_iter().enumerate() {
        let refuses = async || cluster.redis(number).cli(&["SET", "x", "y"]).contains(error).then_some(());
        eventually(error, HEALED, refuses).await;
    }
}

/// Lets each server take writes again.
fn take_writes(cluster: &Cluster) {
    assert_eq!(cluster.redis(0).cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]), "OK");
    assert_eq!(cluster.redis(1).cli(&["CONFIG", "SET", "save", ""]), "OK");
    assert_eq!(cluster.redis(2).cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    assert_eq!(cluster.redis(3).cli(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
}

/// Posts are refused; the history, joins and resumes are served, of streams known and new.
async fn assert_reading_goes_on(pod: &Pod, known: &str, new: &str, after: &str) {
    let path = format!("/v1/streams/{known}/comments");
    for _ in 0..3 {
        let refused = post(pod.public, &path, &json!({"kind": "comment", "body": "refused"})).await;
        refused.assert_problem(503, "shard_unavailable");
        let page = pod.get(&path).await;
        assert_eq!((page.status, page.json()["comments"].as_array().unwrap().len()), (200, 3), "{page:?}");
        assert_eq!(pod.get(&format!("/v1/streams/{known}")).await.status, 200);
    }
    let mut resumed = Join::new(pod, known).after(after).open().await;
    resumed.comments(2).await;
    resumed.assert_contiguous(2);
    let mut joined = Join::new(pod, known).open().await;
    joined.comments(3).await;
    let empty = Join::new(pod, new).open().await;
    for viewer in [&resumed, &joined, &empty] {
        assert!(!viewer.has("error") && !viewer.has("reset"), "{:?}", viewer.log);
    }
}

/// G9: a shard that refuses writes answers posts with 503 and serves all that reads.
///
/// Symptom: with too few replicas, a failed snapshot or a demoted primary nobody could join, resume or read the history.
/// Cause: the functions that read renew what they read, so that Redis refused to run them as writers.
#[tokio::test(flavor = "multi_thread")]
async fn r11_where_writes_are_refused_posts_are_503_and_viewers_are_served() {
    let servers = (0..SHARDS).map(|_| RedisServer::start()).collect();
    let cluster = Cluster::on(servers, 1, &[("FANFARE_LINGER", "0s")]);
    cluster.healed().await;
    let pod = &cluster.pods[0];
    let mut streams = Vec::new();
    for shard in 0..SHARDS {
        let of_shard = cluster.streams_of(shard, "refused", 2).await;
        let mut viewer = Join::new(pod, &of_shard[0]).open().await;
        viewer.say("one").await;
        viewer.comments(1).await;
        let after = viewer.position.clone();
        drop(viewer);
        pod.fill(&of_shard[0], 2, "").await;
        streams.push((of_shard, after));
    }
    refuse_writes(&cluster).await;
    for (of_shard, after) in &streams {
        assert_reading_goes_on(pod, &of_shard[0], &of_shard[1], after).await;
    }
    take_writes(&cluster);
    for (of_shard, _) in &streams {
        let path = format!("/v1/streams/{}/comments", of_shard[0]);
        let posted = async || {
            let answer = post(pod.public, &path, &json!({"kind": "comment", "body": "after"})).await;
            (answer.status == 201).then(|| answer.json()["seq"].as_u64())
        };
        assert_eq!(eventually("a post", HEALED, posted).await, Some(4));
    }
}
