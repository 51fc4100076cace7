//! Batches of posts on a path that is long or narrow.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Direction, Fault, Join, PATIENCE, Pod, RedisServer, Relay, eventually, post, stream_for};

/// A pod, its shard, and the path between them.
async fn shard_behind_a_relay() -> (Pod, Relay, RedisServer) {
    let redis = RedisServer::start();
    let relay = Relay::to_port(redis.port()).await;
    let pod = Pod::start(&[("FANFARE_SHARDS", &format!("far=redis://{}", relay.address))]);
    eventually("the shard is up", PATIENCE, async || {
        (pod.ready().await["shards"]["far"]["probe_us"].is_u64()).then_some(())
    })
    .await;
    (pod, relay, redis)
}

async fn post_batch(pod: &Pod, comments: &[Value]) -> Vec<Value> {
    let answer = post(pod.public, "/v1/comments", &json!({"comments": comments})).await;
    assert_eq!(answer.status, 207, "{answer:?}");
    let results = answer.json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), comments.len());
    results
}

/// The calls of functions that a Redis has had since its counters were reset.
fn calls(redis: &RedisServer) -> u64 {
    let stats = redis.cli(&["INFO", "commandstats"]);
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_fcall:calls=")?.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

/// Symptom: a batch of 500 to one stream was 503 after 10 s at 20 ms from its shard, at each repetition.
/// Cause: each post waited for the answer to the one before it, 500 ways there and back.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_500_to_one_stream_takes_few_round_trips() {
    let (pod, relay, redis) = shard_behind_a_relay().await;
    let stream = stream_for("far");
    let mut viewer = Join::new(&pod, &stream).open().await;
    relay.inject(Direction::ToClient, Fault::Delay(Duration::from_millis(20)));
    let line = |number: usize| json!({"stream": stream, "id": format!("n-{number}"), "kind": "comment", "body": number.to_string()});
    let batch: Vec<_> = (0..500).map(line).collect();
    redis.cli(&["CONFIG", "RESETSTAT"]);
    let results = post_batch(&pod, &batch).await;
    let calls = calls(&redis);
    assert!(results.iter().all(|result| result["status"] == 201), "{results:?}");
    assert!((10..100).contains(&calls), "{calls} calls, those of the pod's upkeep among them");
    let seqs: Vec<_> = results.iter().map(|result| result["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=500).collect::<Vec<_>>(), "in the order of the batch");
    viewer.comments(500).await;
    viewer.assert_contiguous(1);
    let again = post_batch(&pod, &batch).await;
    assert!(
        again
            .iter()
            .zip(&results)
            .all(|(again, first)| again["status"] == 200 && again["seq"] == first["seq"])
    );
}

/// Different streams do not wait for each other on a long path.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_to_500_streams_is_posted_side_by_side() {
    let (pod, relay, _redis) = shard_behind_a_relay().await;
    relay.inject(Direction::ToClient, Fault::Delay(Duration::from_millis(20)));
    let stream = stream_for("wide");
    let line = |number: usize| json!({"stream": format!("{stream}-{number}"), "kind": "follow"});
    let results = post_batch(&pod, &(0..500).map(line).collect::<Vec<_>>()).await;
    assert!(results.iter().all(|result| result["status"] == 201 && result["seq"] == 1), "{results:?}");
}

/// Symptom: a batch whose time was over was 503 as a whole, and what had been posted of it was not told.
/// Cause: the route's deadline threw the results away.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_time_is_over_tells_what_is_known() {
    let (pod, relay, _redis) = shard_behind_a_relay().await;
    let stream = stream_for("narrow");
    let line = |number: usize| {
        let body = format!("{number} {}", "\u{1F600}".repeat(480));
        json!({"stream": stream, "id": format!("n-{number}"), "kind": "comment", "body": body})
    };
    let batch: Vec<_> = (0..450).map(line).collect();
    // About 900 kB at 60 kB/s.
    relay.inject(Direction::ToServer, Fault::Rate(60_000));
    let results = post_batch(&pod, &batch).await;
    let posted = results.iter().take_while(|result| result["status"] == 201).count();
    assert!((1..450).contains(&posted), "{posted} posted");
    for result in &results[posted..] {
        assert_eq!((&result["status"], &result["code"]), (&json!(503), &json!("shard_unavailable")));
    }
    relay.clear();
    let again = eventually("the rest is posted", PATIENCE, async || {
        let results = post_batch(&pod, &batch).await;
        results.iter().all(|result| result["status"] != 503).then_some(results)
    })
    .await;
    let seqs: Vec<_> = again.iter().map(|result| result["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=450).collect::<Vec<_>>(), "each once, in the order of the batch");
    assert!(again[..posted].iter().all(|result| result["status"] == 200));
}
