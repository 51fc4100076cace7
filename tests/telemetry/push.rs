//! What a collector of OTLP gets, by gRPC and by HTTP.

use std::collections::BTreeMap;

use hyper::HeaderMap;
use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{Histogram, Metric, metric::Data, number_data_point},
};
use testkit::{
    Collector, Join, Manner, Otlp, PATIENCE, Pod, RedisServer, Signal, Taken, eventually, stream_for,
};

pub(super) fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(is) => is.to_string(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let pair =
        |pair: &KeyValue| (pair.key.clone(), text(pair.value.as_ref().unwrap().value.as_ref().unwrap()));
    pairs.iter().map(pair).collect()
}

/// The metrics of the newest push, by name.
fn newest(taken: &Taken) -> BTreeMap<String, Metric> {
    let Some(request) = taken.metrics.last() else { return BTreeMap::new() };
    let [resource] = &request.resource_metrics[..] else { panic!("one pod is one resource") };
    let metrics = resource.scope_metrics.iter().flat_map(|scope| &scope.metrics);
    metrics.map(|metric| (metric.name.clone(), metric.clone())).collect()
}

/// A counter's or level's value where the attributes are these.
fn sum(metrics: &BTreeMap<String, Metric>, name: &str, wanted: &[(&str, &str)]) -> Option<i64> {
    let Some(Data::Sum(sum)) = &metrics.get(name)?.data else { panic!("{name} is no sum") };
    let is = |found: &BTreeMap<String, String>| {
        found.len() == wanted.len()
            && wanted.iter().all(|(key, value)| found.get(*key).is_some_and(|f| f == value))
    };
    let point = sum.data_points.iter().find(|point| is(&attributes(&point.attributes)))?;
    match point.value {
        Some(number_data_point::Value::AsInt(value)) => Some(value),
        _ => panic!("{name} is no whole number"),
    }
}

fn histogram<'a>(metrics: &'a BTreeMap<String, Metric>, name: &str) -> &'a Histogram {
    match &metrics[name].data {
        Some(Data::Histogram(histogram)) => histogram,
        other => panic!("{name} is {other:?}"),
    }
}

fn check_metrics(metrics: &BTreeMap<String, Metric>) {
    let units = metrics
        .iter()
        .map(|(name, metric)| (name.as_str(), metric.unit.as_str()))
        .collect::<BTreeMap<_, _>>();
    for (name, unit) in [
        ("fanfare.delivery.duration", "s"),
        ("fanfare.delivery.stage.duration", "s"),
        ("fanfare.join.duration", "s"),
        ("fanfare.runtime.lag", "s"),
        ("fanfare.deliveries", "{comment}"),
        ("fanfare.posts", "{post}"),
        ("fanfare.viewers", "{viewer}"),
        ("fanfare.cpu.utilization", ""),
        ("fanfare.ready", ""),
    ] {
        assert_eq!(units.get(name), Some(&unit), "{name} in {units:?}");
    }
    assert_eq!(sum(metrics, "fanfare.posts", &[("outcome", "acked")]), Some(3));
    assert_eq!(sum(metrics, "fanfare.viewers", &[]), Some(1));
    let Some(Data::Sum(posts)) = &metrics["fanfare.posts"].data else { panic!("posts") };
    assert!(posts.is_monotonic && posts.aggregation_temporality == 2, "a counter is cumulative");
    let stages = &histogram(metrics, "fanfare.delivery.stage.duration").data_points;
    let edges = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
    assert!(stages.iter().all(|point| point.explicit_bounds == edges), "both service levels are edges");
    let commit = stages.iter().find(|point| attributes(&point.attributes)["stage"] == "commit").unwrap();
    assert_eq!((commit.count, commit.bucket_counts.iter().sum::<u64>()), (3, 3));
}

fn check_resource(taken: &Taken) {
    let resource = taken.metrics[0].resource_metrics[0].resource.as_ref().unwrap();
    let resource = attributes(&resource.attributes);
    for (key, value) in [
        ("service.name", "fans"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("fanfare.build", env!("BUILD_COMMIT")),
        ("service.instance.id", "pod-under-test"),
        ("fanfare.track", "green"),
        ("deployment.environment", "test"),
    ] {
        assert_eq!(resource.get(key).map(String::as_str), Some(value), "{resource:?}");
    }
    assert!(taken.headers.iter().all(|headers| headers.get("x-tenant").is_some_and(|value| value == "fan")));
}

/// Names, units, attributes and buckets as the documentation says, and the pod's resource; every few moments and once
/// more at the end.
async fn metrics_arrive(otlp: Otlp, compression: &str) {
    let (collector, stream) = (Collector::start(otlp, Manner::Takes), stream_for("push"));
    let endpoint = format!("http://{}", collector.address);
    let pod = Pod::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", otlp.name()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=fan"),
        // An empty variable is an unset one.
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", ""),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", ""),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", compression),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=te%73t,fanfare.track=green"),
        ("OTEL_SERVICE_NAME", "fans"),
    ]);
    let mut viewer = Join::new(&pod, &stream).open().await;
    viewer.ping().await;
    for number in 1..=3 {
        pod.post(&stream, "hi").await;
        viewer.comments(number).await;
    }
    eventually("all three deliveries", PATIENCE, async || {
        let metrics = newest(&collector.taken());
        let of = |slo, seat| sum(&metrics, "fanfare.deliveries", &[("slo", slo), ("seat", seat)]);
        // On a busy machine one may be late.
        let [within, late] = ["within", "late"].map(|slo| Some(of(slo, "prompt")? + of(slo, "lagging")?));
        (within? + late? == 3).then_some(())
    })
    .await;

    let taken = collector.taken();
    let is_compressed = |headers: &HeaderMap| {
        ["content-encoding", "grpc-encoding"]
            .iter()
            .any(|name| headers.get(*name).is_some_and(|is| is == "gzip"))
    };
    assert!(taken.headers.iter().all(|headers| is_compressed(headers) == (compression == "gzip")));
    check_metrics(&newest(&taken));
    check_resource(&taken);
    pod.post(&stream, "the last word").await;
    drop(viewer);
    pod.signal(Signal::Term);
    assert_eq!(pod.exit(PATIENCE).await, Some(0));
    let last = newest(&collector.taken());
    assert_eq!(
        sum(&last, "fanfare.posts", &[("outcome", "acked")]),
        Some(4),
        "what is left is pushed at the end"
    );
    let draining = match &last["fanfare.draining"].data {
        Some(Data::Gauge(gauge)) => gauge.data_points[0].value,
        other => panic!("fanfare.draining is {other:?}"),
    };
    // The alerts know by it that the pod was told to end, however its samples come.
    assert_eq!(draining, Some(number_data_point::Value::AsInt(1)), "the last push says why");
}

#[tokio::test]
async fn metrics_arrive_by_grpc() {
    metrics_arrive(Otlp::Grpc, "").await;
}

#[tokio::test]
async fn compressed_metrics_arrive_by_grpc() {
    metrics_arrive(Otlp::Grpc, "gzip").await;
}

#[tokio::test]
async fn metrics_arrive_by_http() {
    metrics_arrive(Otlp::Http, "none").await;
}

#[tokio::test]
async fn compressed_metrics_arrive_by_http() {
    metrics_arrive(Otlp::Http, "gzip").await;
}

/// Symptom: `OTEL_EXPORTER_OTLP_PROTOCOL=http/json`, a value of the standard, ended the pod with code 2.
#[tokio::test]
async fn metrics_arrive_as_json() {
    metrics_arrive(Otlp::Json, "").await;
}

/// A traced post has one span, and each pod that delivers has one that links to it; an untraced one has none.
async fn traces_link(otlp: Otlp) {
    let (collector, redis, stream) =
        (Collector::start(otlp, Manner::Takes), RedisServer::start(), stream_for("traces"));
    let (endpoint, shards) = (format!("http://{}", collector.address), format!("a={}", redis.url()));
    let pod = |name: &str, sampler: &str| {
        Pod::start(&[
            ("FANFARE_POD", name),
            ("FANFARE_SHARDS", &shards),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", otlp.name()),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("OTEL_TRACES_SAMPLER", sampler),
        ])
    };
    let (traced, quiet) = (pod("traced", "always_on"), pod("quiet", "parentbased_always_off"));
    let mut viewers = Vec::new();
    for pod in [&traced, &quiet] {
        viewers.push(Join::new(pod, &stream).open().await);
    }
    eventually("both pods hear the stream", PATIENCE, async || {
        let channel = format!("ff:{{{stream}}}");
        redis.cli(&["PUBSUB", "NUMSUB", &channel]).ends_with('2').then_some(())
    })
    .await;
    for (pod, posted) in [(&traced, 1), (&quiet, 2)] {
        pod.post(&stream, "hi").await;
        for viewer in &mut viewers {
            viewer.comments(posted).await;
        }
    }
    let (post, delivers) = eventually("the spans", PATIENCE, async || {
        let taken = collector.taken();
        let (posts, delivers) = (taken.spans("post"), taken.spans("deliver"));
        (posts.len() == 1 && delivers.len() == 2).then(|| (posts[0].clone(), delivers))
    })
    .await;
    assert_eq!((post.kind, post.parent_span_id.len()), (4, 0), "a producer, and nobody's child");
    for deliver in &delivers {
        let [link] = &deliver.links[..] else { panic!("{deliver:?}") };
        assert_eq!((&link.trace_id, &link.span_id), (&post.trace_id, &post.span_id));
        assert_eq!(deliver.kind, 5, "a consumer");
        assert_ne!(deliver.trace_id, post.trace_id);
    }
    assert_eq!(attributes(&post.attributes)["stream"], stream);
    // The second post was made where nothing is traced: no span of it comes later either.
    for pod in [&traced, &quiet] {
        pod.signal(Signal::Term);
        assert_eq!(pod.exit(PATIENCE).await, Some(0));
    }
    assert_eq!((collector.taken().spans("post").len(), collector.taken().spans("deliver").len()), (1, 2));
}

#[tokio::test]
async fn traces_link_by_grpc() {
    traces_link(Otlp::Grpc).await;
}

#[tokio::test]
async fn traces_link_by_http() {
    traces_link(Otlp::Http).await;
}

#[tokio::test]
async fn traces_link_as_json() {
    traces_link(Otlp::Json).await;
}
