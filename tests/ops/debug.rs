//! `/debug/streams/{stream}`.

use serde_json::{Value, json};
use testkit::{Join, PATIENCE, Pod, RedisServer, eventually, request, stream_for};

use super::shape;

async fn explained(pod: &Pod, stream: &str) -> Value {
    let answer = pod.probe(&format!("/debug/streams/{stream}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// docs/alerts.md sends its reader here: what is not asked right is told so, and the pod goes on.
#[tokio::test]
async fn what_no_stream_is_called_is_400_and_what_nobody_watches_404() {
    let pod = Pod::shared();
    for name in ["%20", "a%00b", "%FF", "..%2F..%2Fetc", "%3Cscript%3E", &"x".repeat(200)] {
        pod.probe(&format!("/debug/streams/{name}")).await.assert_problem(400, "bad_request");
    }
    for name in ["nobody-watches-this", "x"] {
        pod.probe(&format!("/debug/streams/{name}")).await.assert_problem(404, "not_found");
    }
    for path in ["/debug/streams", "/debug/streams/", "/debug", "/debug/streams/a/b", "/status/x"] {
        pod.probe(path).await.assert_problem(404, "not_found");
    }
    for path in ["/status", "/status.html", "/debug/streams/a"] {
        request(pod.ops, "DELETE", path, &[], b"").await.assert_problem(405, "bad_request");
    }
}

/// A stream from its first viewer to the end of its linger, as a person who asks sees it.
#[tokio::test]
async fn a_stream_is_explained_from_its_first_viewer_to_the_end_of_its_linger() {
    let redis = RedisServer::start();
    let shards = format!("a={}", redis.url());
    let pod = Pod::start(&[("FANFARE_SHARDS", &shards), ("FANFARE_LINGER", "1s")]).with_shard(redis);
    let stream = stream_for("explained");
    let mut viewer = Join::new(&pod, &stream).open().await;
    for body in ["one", "two", "three"] {
        viewer.say(body).await;
    }
    viewer.comments(3).await;
    let seen = eventually("all three were delivered", PATIENCE, async || {
        Some(explained(&pod, &stream).await).filter(|seen| seen["last_minute"]["delivered"] == 3)
    })
    .await;
    let expected = json!({
        "stream": "string", "shard": "string", "subscription": "string", "lingers_ms": "null",
        "position": "string", "spoke_ago_ms": "number", "viewers": "number",
        "seats": {
            "joining": "number", "prompt": "number", "lagging": "number", "closing": "number",
            "furthest_behind_frames": "number", "longest_full_ms": "number",
        },
        "tape": {"frames": "number", "bytes": "number", "from": "string", "to": "string", "newest_ago_ms": "number"},
        "last_minute": {"delivered": "number", "late": "number", "skipped": "number"},
    });
    assert_eq!(shape(&seen), expected, "{seen}");
    let told = |field: &str| seen[field].clone();
    assert_eq!(
        (told("stream"), told("shard"), told("subscription")),
        (stream.clone().into(), "a".into(), "granted".into())
    );
    assert_eq!((told("viewers"), seen["seats"]["prompt"].clone()), (1.into(), 1.into()), "{seen}");
    assert_eq!(
        (&seen["tape"]["frames"], &seen["tape"]["to"]),
        (&3.into(), &viewer.position.as_str().into()),
        "{seen}"
    );
    assert_eq!(seen["position"], viewer.position.as_str());
    drop(viewer);
    let lingering = eventually("it lingers without a viewer", PATIENCE, async || {
        // The lane clears the seat of the one who left in a later turn than the one that tells the keeper.
        Some(explained(&pod, &stream).await)
            .filter(|seen| seen["subscription"] == "lingering" && seen["viewers"] == 0)
    })
    .await;
    assert!(lingering["lingers_ms"].as_u64().is_some_and(|ms| ms <= 1_100), "{lingering}");
    assert_eq!(lingering["seats"]["prompt"], 0, "{lingering}");
    eventually("it is forgotten", PATIENCE, async || {
        (pod.probe(&format!("/debug/streams/{stream}")).await.status == 404).then_some(())
    })
    .await;
}

/// A viewer that does not read is seen: it lags, how far, and how long its socket has been full.
#[tokio::test]
async fn a_viewer_that_does_not_read_is_seen_to_lag() {
    let (pod, stream) = (Pod::start(&[]), stream_for("lags"));
    let mut prompt = Join::new(&pod, &stream).open().await;
    let _stuck = Join::new(&pod, &stream).short_of_buffer().open().await;
    let tail = "x".repeat(200);
    // A few at a time, so that the prompt one keeps up on a busy machine.
    for count in (50..=1_000).step_by(50) {
        tokio::join!(prompt.comments(count), pod.fill(&stream, 50, &tail));
    }
    let seen = eventually("one lags", PATIENCE, async || {
        let seen = explained(&pod, &stream).await;
        let full = seen["seats"]["longest_full_ms"].as_u64().is_some_and(|ms| ms > 100);
        (seen["seats"]["lagging"] == 1 && full).then_some(seen)
    })
    .await;
    assert_eq!((&seen["viewers"], &seen["seats"]["prompt"]), (&2.into(), &1.into()), "{seen}");
    assert!(seen["seats"]["furthest_behind_frames"].as_u64().is_some_and(|frames| frames > 10), "{seen}");
}
