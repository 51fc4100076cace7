//! The log lines of an outage.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Cluster, HEALED, Join, Signal, eventually, post};

/// How soon a pod that died is missed: it reports every 3 s at the latest and is missing after 9 s without a report;
/// three times that.
const MISSED: Duration = Duration::from_secs(45);

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

/// Symptom: an outage was three lines each 11 s a shard, without address, streams, viewers or length.
/// Cause: each of the three connections logged its own attempts, and none of them knows the streams.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_a_line_when_it_begins_and_one_when_it_ends() {
    let cluster = Cluster::start(1, 2, &[]).await;
    let (pod, stream) = (&cluster.pods[0], cluster.streams_of(0, "line", 1).await.remove(0));
    let _viewers = [Join::new(pod, &stream).open().await, Join::new(pod, &stream).open().await];
    let before = pod.log_lines().len();
    cluster.redis(0).crash();
    // A shard that was not up at once on a busy machine had its own line, before there were viewers.
    let began = parsed(&pod.logged(&["shard outage began", "\"streams\":1"], HEALED).await);
    let expected = json!({"shard": "a", "viewers": 2, "level": "ERROR"});
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&began[field], value, "{began}");
    }
    let port = cluster.redis(0).port();
    assert_eq!(began["address"], format!("127.0.0.1:{port}"));
    assert!(began["error"].as_str().is_some_and(|error| error.contains("refused")), "{began}");
    cluster.redis(0).restart();
    let ended = parsed(&pod.logged(&["shard outage ended"], HEALED).await);
    assert_eq!((&ended["shard"], &ended["level"]), (&"a".into(), &"INFO".into()));
    assert!(ended["lasted_ms"].as_u64().is_some_and(|lasted| lasted >= 1_000), "{ended}");
    let lines = pod.log_lines().split_off(before);
    let of_outage = lines.iter().filter(|line| line.contains("shard")).count();
    // A reminder more where the machine is slow.
    assert!(of_outage <= 4, "{lines:#?}");
}

/// Symptom: a Redis that refused posts was an error each second. Cause: the log knew no beginning and no end of it.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_a_line_when_they_begin() {
    let cluster = Cluster::start(1, 1, &[]).await;
    let pod = &cluster.pods[0];
    cluster.redis(0).cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = async || {
        let comment = json!({"kind": "comment", "body": "x"});
        post(pod.public, "/v1/streams/refused/comments", &comment)
            .await
            .assert_problem(503, "shard_unavailable");
    };
    for _ in 0..50 {
        refused().await;
    }
    let line = parsed(&pod.logged(&["the shard refused a call"], HEALED).await);
    let address = format!("127.0.0.1:{}", cluster.redis(0).port());
    assert_eq!((&line["shard"], &line["address"]), (&"a".into(), &address.into()), "{line}");
    assert!(line["error"].as_str().is_some_and(|error| error.contains("OOM")), "{line}");
    let count = pod.log_lines().iter().filter(|line| line.contains("the shard refused a call")).count();
    assert_eq!(count, 1, "one line for fifty refusals");
}

/// Symptom: a pod that died was a line nowhere. Cause: the pods of a track counted each other and named nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_dies_is_missing_from_its_track_and_one_that_leaves_is_not() {
    let cluster = Cluster::start(3, 1, &[("FANFARE_SETTLE", "0s"), ("FANFARE_DRAIN", "1s")]).await;
    let all = async || (cluster.pods[0].ready().await["fleet"]["pods"] == 3).then_some(());
    eventually("three pods know each other", HEALED, all).await;
    cluster.pods[2].signal(Signal::Term);
    let two = async || (cluster.pods[0].ready().await["fleet"]["pods"] == 2).then_some(());
    eventually("one has left", HEALED, two).await;
    cluster.pods[1].signal(Signal::Kill);
    let line = parsed(&cluster.pods[0].logged(&["pod missing from its track"], MISSED).await);
    assert_eq!((&line["pod"], &line["level"]), (&"pod-1".into(), &"WARN".into()), "{line}");
    let missing = cluster.pods[0].log_lines().iter().filter(|line| line.contains("pod missing")).count();
    assert_eq!(missing, 1);
}

/// Symptom: a shard without replicas was down for "connection discarded after an error reply", and nobody was told which.
/// Cause: whoever gave the connection up kept the reply to itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_given_up_says_for_which_reply() {
    let cluster = Cluster::start(1, 1, &[("RUST_LOG", "fanfare=debug")]).await;
    let pod = &cluster.pods[0];
    cluster.redis(0).cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let comment = json!({"kind": "comment", "body": "x"});
    post(pod.public, "/v1/streams/refused/comments", &comment).await.assert_problem(503, "shard_unavailable");
    let ended = parsed(&pod.logged(&["connection ended", "given up"], HEALED).await);
    assert!(ended["cause"].as_str().is_some_and(|cause| cause.contains("NOREPLICAS")), "{ended}");
}
