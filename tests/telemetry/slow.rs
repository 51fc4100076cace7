//! The spans of slow deliveries.

use std::time::Duration;

use testkit::{
    Collector, Direction, Fault, Join, Manner, Otlp, PATIENCE, Pod, RedisServer, Relay, eventually,
    stream_for,
};

use super::push::attributes;

/// The delay of the slow pod's path from the shard.
const DELAY: Duration = Duration::from_millis(600);

/// Symptom: tail sampling could not keep the trace of a slow delivery: each span `deliver` took 30 µs, from the entry's
/// arrival to the tape, and was a trace of its own without the latency. Cause: the span ended before anything was written.
#[tokio::test]
async fn the_span_of_a_slow_delivery_has_its_latency_and_ends_when_it_is_written() {
    let (collector, redis, stream) =
        (Collector::start(Otlp::Http, Manner::Takes), RedisServer::start(), stream_for("slow-spans"));
    let path = Relay::to_port(redis.port()).await;
    let endpoint = format!("http://{}", collector.address);
    let pod = |name: &str, shards: &str| {
        Pod::start(&[
            ("FANFARE_POD", name),
            ("FANFARE_SHARDS", shards),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ])
    };
    let quick = pod("quick", &format!("a={}", redis.url()));
    let slow = pod("slow", &format!("a=redis://{}", path.address));
    let (mut near, mut far) =
        (Join::new(&quick, &stream).open().await, Join::new(&slow, &stream).open().await);
    eventually("both pods are subscribed", PATIENCE, async || {
        let channel = format!("ff:{{{stream}}}");
        redis.cli(&["PUBSUB", "NUMSUB", &channel]).ends_with('2').then_some(())
    })
    .await;
    path.inject(Direction::ToClient, Fault::Delay(DELAY));
    quick.post(&stream, "hi").await;
    near.comments(1).await;
    far.comments(1).await;
    let (post, mut delivers) = eventually("the spans", PATIENCE, async || {
        let taken = collector.taken();
        let (mut posts, delivers) = (taken.spans("post"), taken.spans("deliver"));
        (posts.len() == 1 && delivers.len() == 2).then(|| (posts.remove(0), delivers))
    })
    .await;
    let latency = |deliver: &opentelemetry_proto::tonic::trace::v1::Span| -> u64 {
        attributes(&deliver.attributes)["fanfare.delivery.latency_ms"].parse().unwrap()
    };
    delivers.sort_by_key(latency);
    let [quick, slow] = &delivers[..] else { unreachable!() };
    // The slow pod knows the shard's time but for half of the difference between two round trips.
    assert!(latency(slow) >= latency(quick) + 300, "{} and {} ms", latency(quick), latency(slow));
    for deliver in &delivers {
        assert_eq!(attributes(&deliver.attributes)["stream"], stream);
        assert_eq!((&deliver.links[0].trace_id, &deliver.links[0].span_id), (&post.trace_id, &post.span_id));
        assert!(deliver.end_time_unix_nano >= deliver.start_time_unix_nano);
    }
    let after = Duration::from_nanos(slow.end_time_unix_nano - post.start_time_unix_nano);
    assert!(after >= DELAY, "it ended {after:?} after the post began, before it was written");
}
