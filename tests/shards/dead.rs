//! A shard that is not there at all.

use std::time::Duration;

use serde_json::json;
use testkit::{Heard, Peer, Pod, RawFrame, in_time, post};

/// G9: 1.5 s; here three times that.
const ANSWERED: Duration = Duration::from_millis(4_500);

/// G9 and G10: without its shard a stream answers 503 soon, its viewers are told and stay, and the pod stays ready.
#[tokio::test]
async fn g9_without_a_shard_the_answer_is_503_and_the_pod_stays_ready() {
    // Nothing listens at this port.
    let pod = Pod::start(&[("FANFARE_SHARDS", "dead=redis://127.0.0.1:1")]);
    let ready = pod.ready().await;
    assert!(ready["shards"]["dead"].is_object(), "a dead shard is shown, and is no reason: {ready}");
    let comment = json!({"kind": "comment", "body": "x"});
    let answers = [
        in_time("a post", ANSWERED, async || post(pod.public, "/v1/streams/a/comments", &comment).await)
            .await,
        in_time("the history", ANSWERED, async || pod.get("/v1/streams/a/comments").await).await,
        in_time("the stream", ANSWERED, async || pod.get("/v1/streams/a").await).await,
    ];
    for answer in answers {
        answer.assert_problem(503, "shard_unavailable");
        assert!(answer.header("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()), "{answer:?}");
    }
    let batch = json!({"comments": [{"stream": "a", "kind": "comment", "body": "x"}, {"stream": "a b"}]});
    let results = in_time("a batch", ANSWERED, async || post(pod.public, "/v1/comments", &batch).await);
    let results = results.await.json();
    let statuses = [0, 1].map(|place: usize| results["results"][place]["status"].as_u64());
    assert_eq!(statuses, [Some(503), Some(400)], "{results}");
    let mut peer = Peer::watch(&pod, "a").await;
    let told = |heard: &Heard| matches!(heard, Heard::Text(text) if text.contains("shard_unavailable"));
    assert!(told(&peer.hear_until(told).await));
    peer.send(&RawFrame::text(r#"{"type":"ping"}"#).bytes()).await;
    let pong = |heard: &Heard| matches!(heard, Heard::Text(text) if text.contains("pong"));
    assert!(pong(&peer.hear_until(pong).await), "and its socket lives");
    peer.send(&RawFrame::text(r#"{"type":"post","ref":"r9","body":"x"}"#).bytes()).await;
    let refused = |heard: &Heard| told(heard) && matches!(heard, Heard::Text(text) if text.contains("r9"));
    assert!(refused(&peer.hear_until(refused).await));
    pod.ready().await;
}
