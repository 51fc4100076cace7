//! Servers that are reachable and weaken or break the promises: seen in the log, in `/status` and in the metrics.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Cluster, Pod, RedisServer, eventually, post, stream_for};

/// How soon a condition is seen: the server is asked each 10 s; six times that.
const SEEN: Duration = Duration::from_secs(60);

async fn shard(pod: &Pod, number: usize) -> Value {
    pod.probe("/status.json").await.json()["shards"][number].clone()
}

/// Waits until exactly these conditions are told, and returns what the pod tells of the shard.
async fn until(pod: &Pod, number: usize, conditions: &[&str]) -> Value {
    eventually(&format!("conditions {conditions:?}"), SEEN, async || {
        let shard = shard(pod, number).await;
        (shard["conditions"] == json!(conditions)).then_some(shard)
    })
    .await
}

async fn assert_gauge(pod: &Pod, shard: &str, condition: &str, value: u32) {
    let labels = [format!("shard=\"{shard}\""), format!("condition=\"{condition}\"")];
    let text = pod.probe("/metrics").await.body;
    let is_it = |line: &&str| {
        line.starts_with("fanfare_shard_condition{") && labels.iter().all(|label| line.contains(label))
    };
    let line = text.lines().find(is_it).unwrap_or_else(|| panic!("{condition} is not in\n{text}"));
    assert!(line.ends_with(&format!(" {value}")), "{line}");
}

/// Symptom: a server that evicts (`volatile-lru` near `maxmemory`) dropped the ids of posts and a stream's history, so
/// that a gift was posted twice and the stream reset, and nothing told so. Cause: INFO was asked for and not read.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_weakens_the_promises_is_seen() {
    let cluster = Cluster::start(1, 1, &[]).await;
    let pod = &cluster.pods[0];
    let set = |name: &str, value: &str| {
        assert_eq!(cluster.redis(0).cli(&["CONFIG", "SET", name, value]), "OK", "{name}");
    };
    until(pod, 0, &[]).await;
    set("maxmemory-policy", "volatile-lru");
    set("appendonly", "no");
    let weak = until(pod, 0, &["evicts", "no_aof"]).await;
    assert_eq!((&weak["up"], &weak["reason"]), (&json!(true), &Value::Null), "and used all the same");
    for condition in ["evicts", "no_aof"] {
        let line = pod.logged(&["shard condition:", condition], SEEN).await;
        assert!(line.contains("WARN") && line.contains("\"shard\":\"a\""), "{line}");
        assert_gauge(pod, "a", condition, 1).await;
    }
    assert_gauge(pod, "a", "memory_nearly_full", 0).await;
    // No more than is used: full to the last byte.
    set("maxmemory-policy", "noeviction");
    set("maxmemory", "1000");
    until(pod, 0, &["no_aof", "memory_nearly_full"]).await;
    pod.logged(&["shard condition ended", "evicts"], SEEN).await;
    assert_gauge(pod, "a", "evicts", 0).await;
    assert_gauge(pod, "a", "memory_nearly_full", 1).await;
}

/// Symptom: a server in cluster mode, a replica, and a server that refuses every function seemed to be shards that are up.
/// Cause: as above, and the heart sent nothing but what such a server takes; what breaks every promise has to look like a
/// dead shard, with the reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_can_be_no_shard_is_down_with_the_reason() {
    let in_cluster = RedisServer::with(&["--appendonly", "yes", "--cluster-enabled", "yes"]);
    // Nobody listens on port 1.
    let replica = RedisServer::with(&["--appendonly", "yes", "--replicaof", "127.0.0.1", "1"]);
    let denying = RedisServer::durable();
    assert_eq!(denying.cli(&["ACL", "SETUSER", "default", "-fcall"]), "OK");
    let cluster = Cluster::on(vec![in_cluster, replica, denying], 1, &[]);
    let pod = &cluster.pods[0];
    let broken = [
        (0, "cluster", "cluster mode"),
        (1, "replica", "is a replica"),
        (2, "refuses_functions", "refuses every function"),
    ];
    for (number, name, reason) in broken {
        let shard = until(pod, number, &[name]).await;
        assert!(shard["reason"].as_str().is_some_and(|told| told.contains(reason)), "{shard}");
        assert_eq!(shard["up"], false, "{shard}");
        assert_gauge(pod, &Cluster::name(number), name, 1).await;
        let line = pod.logged(&["shard outage began", reason], SEEN).await;
        assert!(line.contains(&format!("\"shard\":\"{}\"", Cluster::name(number))), "{line}");
    }
    // Of all shards, whichever owns which.
    for _ in 0..8 {
        let path = format!("/v1/streams/{}/comments", stream_for("broken"));
        let refused = post(pod.public, &path, &json!({"kind": "comment", "body": "x"})).await;
        refused.assert_problem(503, "shard_unavailable");
    }
    assert_eq!(cluster.redis(1).cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    assert_eq!(cluster.redis(2).cli(&["ACL", "SETUSER", "default", "+fcall"]), "OK");
    for number in [1, 2] {
        until(pod, number, &[]).await;
        eventually("the shard is up", SEEN, async || (shard(pod, number).await["up"] == true).then_some(()))
            .await;
    }
    // The library is lost and may not be loaded again: that is seen while the connection lasts.
    assert_eq!(cluster.redis(2).cli(&["ACL", "SETUSER", "default", "-function|load"]), "OK");
    assert_eq!(cluster.redis(2).cli(&["FUNCTION", "FLUSH"]), "OK");
    until(pod, 2, &["refuses_functions"]).await;
    eventually("the shard is down", SEEN, async || (shard(pod, 2).await["up"] == false).then_some(())).await;
}
