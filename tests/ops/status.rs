//! `/status`, as JSON and as a page.

use serde_json::{Value, json};
use testkit::{Join, PATIENCE, Pod, RedisServer, eventually, request, stream_for};

use super::shape;

async fn status(pod: &Pod) -> Value {
    let answer = pod.probe("/status").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
    answer.json()
}

/// The fields are what the page and people's scripts read.
#[tokio::test]
async fn the_status_of_a_pod_has_this_shape() {
    let redis = RedisServer::start();
    let shards = format!("a={}", redis.url());
    let pod = Pod::start(&[("FANFARE_SHARDS", &shards), ("FANFARE_TRACK", "green")]).with_shard(redis);
    let stream = stream_for("shape");
    let mut viewer = Join::new(&pod, &stream).open().await;
    eventually("a probe and an INFO", PATIENCE, async || {
        let shard = &status(&pod).await["shards"][0];
        let is_known =
            shard["probe_us"].is_u64() && shard["clients"].is_u64() && shard["clock_ahead_us"].is_i64();
        is_known.then_some(())
    })
    .await;
    // Only then, since a stream is busy for the seconds after a delivery.
    viewer.say("hi").await;
    viewer.comments(1).await;
    let seen = eventually("a delivery", PATIENCE, async || {
        let seen = status(&pod).await;
        (seen["delivery"]["count"] == 1 && seen["busiest_streams"][0].is_object()).then_some(seen)
    })
    .await;
    let of_stream = json!({
        "stream": "string", "viewers": "number", "deliveries_per_second": "number", "late": "number", "skipped": "number",
    });
    let latency =
        json!({"count": "number", "p50_ms": "number", "p99_ms": "number", "objective_ms": "number"});
    let expected = json!({
        "pod": "string", "track": "string", "version": "string", "build": "string", "ready": "bool", "reasons": [],
        "cpu": "number", "high": "number", "low": "number",
        "viewers": "number", "streams": "number",
        "deliveries_per_second": "number", "late_per_second": "number", "skipped_per_second": "number",
        "delivery": latency, "join": latency,
        "shards": [{
            "name": "string", "up": "bool", "reason": "null", "conditions": ["string"], "probe_us": "number", "waste": "number", "subscriptions": "number",
            "subscribe_churn": "number", "unsubscribes": "number", "linger_hits": "number", "received": "number",
            "unwatched": "number", "strange": "number", "filled": "number", "gaps": "number", "resets": "number",
            "overruns": "number", "clients": "number", "max_clients": "number", "clock_ahead_us": "number",
        }],
        "worst_streams": shape(&seen["worst_streams"]), "busiest_streams": [of_stream],
        "counts": {"deliveries": "number", "skips": "number", "panics": "number"},
    });
    assert_eq!(shape(&seen), expected, "{seen}");
    assert_eq!(
        (&seen["track"], &seen["ready"], &seen["viewers"]),
        (&"green".into(), &true.into(), &1.into())
    );
    assert_eq!(seen["busiest_streams"][0]["stream"], stream.as_str());
    assert_eq!((&seen["join"]["count"], &seen["join"]["objective_ms"]), (&1.into(), &500.0.into()));
}

/// One stream's trouble does not drown in the average: the worst stand beside the busiest, ten of each, and no metric
/// names a stream.
#[tokio::test]
async fn the_worst_streams_stand_beside_the_busiest() {
    let pod = Pod::start(&[]);
    let (troubled, busy) = (stream_for("troubled"), stream_for("busy"));
    let mut slow = Join::new(&pod, &troubled).short_of_buffer().open().await;
    pod.fill(&troubled, 6_000, "").await;
    slow.until("a skip", |viewer| viewer.has("skipped")).await;
    slow.until("the newest comment", |viewer| viewer.seqs().last() == Some(&6_000)).await;
    let mut crowd = Vec::new();
    for _ in 0..10 {
        crowd.push(Join::new(&pod, &busy).open().await);
    }
    // Fewer than the other one is told to have skipped, should a busy machine be late with all of them.
    let fill = pod.fill(&busy, 500, "");
    tokio::join!(fill, futures_util::future::join_all(crowd.iter_mut().map(|viewer| viewer.comments(500))));
    let mut others = Vec::new();
    for _ in 0..12 {
        let stream = stream_for("other");
        let mut viewer = Join::new(&pod, &stream).open().await;
        viewer.say("hi").await;
        viewer.comments(1).await;
        others.push(viewer);
    }
    let seen = eventually("what stands out", PATIENCE, async || {
        let seen = status(&pod).await;
        (seen["busiest_streams"].as_array().unwrap().len() == 10).then_some(seen)
    })
    .await;
    assert_eq!(seen["busiest_streams"][0]["stream"], busy.as_str(), "{seen}");
    let worst = &seen["worst_streams"][0];
    assert_eq!(worst["stream"], troubled.as_str(), "{seen}");
    let told: u64 = slow.all("skipped").map(|frame| frame["count"].as_u64().unwrap()).sum();
    assert_eq!(worst["skipped"], told, "{seen}");
    assert!(seen["deliveries_per_second"].as_f64().is_some_and(|rate| rate > 50.0), "{seen}");
    let metrics = pod.probe("/metrics").await.body;
    for stream in [&troubled, &busy] {
        assert!(metrics.contains("fanfare_deliveries_total") && !metrics.contains(stream.as_str()));
    }
}

/// A browser gets the page, which holds no figure itself, runs only what it holds, and asks only this server.
#[tokio::test]
async fn the_page_is_for_browsers() {
    let pod = Pod::shared();
    let browser = [("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")];
    for page in [
        request(pod.ops, "GET", "/status", &browser, b"").await,
        request(pod.ops, "GET", "/status.html", &[], b"").await,
    ] {
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(
            page.body.contains("fetch('status.json'") && !page.body.contains("innerHTML"),
            "texts stay texts"
        );
    }
    let tool = [("accept", "application/json")];
    for (path, accepts) in [("/status", &tool), ("/status.json", &browser)] {
        let json = request(pod.ops, "GET", path, accepts, b"").await;
        assert!(json.json()["viewers"].is_u64(), "{path}");
    }
}
