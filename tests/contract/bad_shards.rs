//! What pods answer while their shards are not as they should be.

use std::time::Duration;

use serde_json::json;
use testkit::{
    Direction, Fault, Join, PATIENCE, Pod, RedisServer, Relay, contract::documents::elements, eventually,
    get, post, request,
};

use super::answers::comments;

/// A shard that is not there.
pub(super) async fn dead_shard() {
    let pod = Pod::start(&[("FANFARE_SHARDS", "dead=redis://127.0.0.1:1")]);
    let comment = json!({"stream": "a", "kind": "comment", "body": "x"});
    let single = json!({"kind": "comment", "body": "x"});
    post(pod.public, &comments("a"), &single).await.assert_problem(503, "shard_unavailable");
    get(pod.public, &comments("a")).await.assert_problem(503, "shard_unavailable");
    get(pod.public, "/v1/streams/a").await.assert_problem(503, "shard_unavailable");
    let revoke = request(pod.public, "DELETE", "/v1/viewers/u7", &[], b"").await;
    revoke.assert_problem(503, "shard_unavailable");
    let batch = post(pod.public, "/v1/comments", &json!({"comments": [comment]})).await;
    assert_eq!(batch.json()["results"][0]["status"], 503);
    let _viewer = Join::new(&pod, "a").connect().await.expect("a socket");
    eventually("a stream that is not open yet", PATIENCE, async || {
        let explained = pod.probe("/debug/streams/a").await;
        (explained.status == 200).then(|| assert!(explained.json()["tape"].is_null(), "{explained:?}"))
    })
    .await;
    assert!(pod.probe("/status").await.json()["shards"][0]["waste"].is_null());
}

/// A shard on a long path: a batch is posted all the same, and the pod measures the path.
pub(super) async fn slow_shard() {
    let redis = RedisServer::start();
    let relay = Relay::to_port(redis.port()).await;
    relay.inject(Direction::ToClient, Fault::Delay(Duration::from_millis(100)));
    let pod = Pod::start(&[("FANFARE_SHARDS", &format!("slow=redis://{}", relay.address))]);
    eventually("the shard is up", PATIENCE, async || {
        let shard = &pod.ready().await["shards"]["slow"];
        ["probe_us", "clients", "clock_ahead_us"].iter().all(|field| shard[field].is_i64()).then_some(())
    })
    .await;
    let line =
        |number: usize| json!({"stream": "a", "id": number.to_string(), "kind": "comment", "body": "x"});
    let batch = json!({"comments": (0..500).map(line).collect::<Vec<_>>()});
    let results = post(pod.public, "/v1/comments", &batch).await.json();
    assert!(elements(&results["results"]).all(|result| result["status"] == 201), "{results}");
}

/// Shards whose servers weaken or break the promises.
pub(super) async fn weak_shards() {
    // Nobody listens on port 1.
    let servers: [&[&str]; 4] = [&[], &["--cluster-enabled", "yes"], &["--replicaof", "127.0.0.1", "1"], &[]];
    let servers = servers.map(RedisServer::with);
    assert_eq!(servers[3].cli(&["ACL", "SETUSER", "default", "-fcall"]), "OK");
    let list =
        ["a", "b", "c", "d"].iter().zip(&servers).map(|(name, server)| format!("{name}={}", server.url()));
    let pod = Pod::start(&[("FANFARE_SHARDS", &list.collect::<Vec<_>>().join(","))]);
    let told = async || pod.ready().await["shards"].to_string();
    eventually("the first is up", PATIENCE, async || told().await.contains("\"no_aof\"").then_some(())).await;
    for (name, value) in [("maxmemory-policy", "allkeys-lru"), ("maxmemory", "1000")] {
        assert_eq!(servers[0].cli(&["CONFIG", "SET", name, value]), "OK");
    }
    eventually("every condition is told", PATIENCE, async || {
        let told = told().await;
        let all = ["evicts", "memory_nearly_full", "cluster", "replica", "refuses_functions"];
        all.iter().all(|condition| told.contains(&format!("\"{condition}\""))).then_some(())
    })
    .await;
}
