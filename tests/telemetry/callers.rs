//! A post is part of the trace of whoever calls.

use serde_json::json;
use testkit::{
    Answer, Collector, Join, Manner, Otlp, PATIENCE, Pod, RedisServer, Signal, Taken, eventually, request,
    stream_for,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Posts one comment, with these headers `traceparent`.
async fn post(pod: &Pod, stream: &str, traceparents: &[&str]) -> Answer {
    let path = format!("/v1/streams/{stream}/comments");
    let headers: Vec<_> = [("content-type", "application/json")]
        .into_iter()
        .chain(traceparents.iter().map(|each| ("traceparent", *each)))
        .collect();
    request(pod.public, "POST", &path, &headers, br#"{"kind":"follow"}"#).await
}

/// The spans of posts: their trace and their parent.
fn posts(taken: &Taken) -> Vec<(String, String)> {
    let name =
        |span: &opentelemetry_proto::tonic::trace::v1::Span| (hex(&span.trace_id), hex(&span.parent_span_id));
    taken.spans("post").iter().map(name).collect()
}

/// By REST, one by one and in a batch: a span of a post is a child of the caller's, and the pods that deliver it link to
/// it, since the envelope names it.
#[tokio::test]
async fn a_post_is_a_child_of_its_callers_span_on_every_pod() {
    let (collector, redis, stream) =
        (Collector::start(Otlp::Grpc, Manner::Takes), RedisServer::start(), stream_for("callers"));
    let (endpoint, shards) = (format!("http://{}", collector.address), format!("a={}", redis.url()));
    let pod = |name: &str| {
        Pod::start(&[
            ("FANFARE_POD", name),
            ("FANFARE_SHARDS", &shards),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ])
    };
    let (posting, delivering) = (pod("posting"), pod("delivering"));
    let mut viewer = Join::new(&delivering, &stream).open().await;
    // Deliveries to a viewer that is behind, as each is at first, are no part of a trace.
    eventually("a viewer that keeps up", PATIENCE, async || {
        let seen = delivering.probe(&format!("/debug/streams/{stream}")).await.json();
        (seen["seats"]["prompt"] == 1).then_some(())
    })
    .await;
    let traceparent = format!("00-{TRACE}-{SPAN}-01");
    assert_eq!(post(&posting, &stream, &[&traceparent]).await.status, 201);
    let line = json!({"stream": stream, "kind": "follow"});
    let batch = json!({"comments": [line, line]}).to_string();
    let headers = [("content-type", "application/json"), ("traceparent", traceparent.as_str())];
    let answer = request(posting.public, "POST", "/v1/comments", &headers, batch.as_bytes()).await;
    assert_eq!(answer.status, 207);
    viewer.comments(3).await;
    let taken = eventually("the spans", PATIENCE, async || {
        let taken = collector.taken();
        (taken.spans("post").len() == 3 && taken.spans("deliver").len() == 3).then_some(taken)
    })
    .await;
    assert_eq!(posts(&taken), vec![(TRACE.to_owned(), SPAN.to_owned()); 3]);
    let ids: Vec<_> = taken.spans("post").into_iter().map(|post| post.span_id).collect();
    for deliver in taken.spans("deliver") {
        let [link] = &deliver.links[..] else { panic!("{deliver:?}") };
        assert!(hex(&link.trace_id) == TRACE && ids.contains(&link.span_id), "{deliver:?}");
    }
}

/// What cannot be read is ignored: the post is accepted, and has a trace of its own. A caller that is not sampled has
/// decided for its posts, too.
#[tokio::test]
async fn a_traceparent_that_cannot_be_read_is_ignored() {
    let (collector, stream) = (Collector::start(Otlp::Http, Manner::Takes), stream_for("bad-callers"));
    let endpoint = format!("http://{}", collector.address);
    let pod = Pod::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_METRICS_EXPORTER", "none")]);
    let good = format!("00-{TRACE}-{SPAN}-01");
    let bad: [&[&str]; 9] = [
        &[""],
        &["hello"],
        &["\u{e9}\u{1f600}"],
        &[&good.to_uppercase()],
        &[&good.replacen("00", "ff", 1)],
        &[&good.replace(TRACE, &"0".repeat(32))],
        &[&format!("{good}-more")],
        &[&"0".repeat(4_000)],
        &[&good, &good],
    ];
    for traceparents in bad {
        assert_eq!(post(&pod, &stream, traceparents).await.status, 201, "{traceparents:?}");
    }
    let unsampled = good.replace("-01", "-00");
    assert_eq!(post(&pod, &stream, &[&unsampled]).await.status, 201);
    // What is left is pushed at the end.
    pod.signal(Signal::Term);
    assert_eq!(pod.exit(PATIENCE).await, Some(0));
    let posts = posts(&collector.taken());
    assert_eq!(posts.len(), bad.len(), "{posts:?}");
    for (trace, parent) in &posts {
        assert!(parent.is_empty() && trace != TRACE, "{posts:?}");
    }
}
