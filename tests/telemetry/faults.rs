//! Collectors that are away or mad. The pod does not notice, counts what is lost, and ends in time.

use testkit::{Collector, Join, Manner, Otlp, PATIENCE, Pod, Signal, eventually, stream_for};

use super::Scrape;

/// Posts and deliveries go on; what is not taken is counted; SIGTERM is on time.
async fn harms_nobody(endpoint: &str, otlp: Otlp) {
    let pod = Pod::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", otlp.name()),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "300"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ]);
    let stream = stream_for("collector");
    let mut viewer = Join::new(&pod, &stream).open().await;
    // More spans than the queue holds; no more at once than a viewer may be behind.
    for part in 1..=6 {
        tokio::join!(pod.fill(&stream, 500, " traced"), viewer.comments(500 * part));
    }
    for signal in ["spans", "metrics"] {
        eventually("drops are counted", PATIENCE, async || {
            let label = format!("signal=\"{signal}\"");
            let scrape = Scrape::of(&pod).await;
            (scrape.sum("fanfare_telemetry_dropped_total", &[&label]) > 0.0).then_some(())
        })
        .await;
    }
    pod.logged(&["the collector does not take them", "metrics"], PATIENCE).await;
    drop(viewer);
    pod.signal(Signal::Term);
    assert_eq!(pod.exit(PATIENCE).await, Some(0));
}

#[tokio::test]
async fn a_collector_that_is_down_harms_nobody() {
    // Port 9 is nobody's.
    for otlp in [Otlp::Grpc, Otlp::Http] {
        harms_nobody("http://127.0.0.1:9", otlp).await;
    }
}

#[tokio::test]
async fn a_collector_that_never_answers_harms_nobody() {
    for otlp in [Otlp::Grpc, Otlp::Http] {
        let collector = Collector::start(otlp, Manner::Hangs);
        harms_nobody(&format!("http://{}", collector.address), otlp).await;
        assert!(collector.taken().connections > 0, "it was asked");
    }
}

#[tokio::test]
async fn a_collector_that_fails_harms_nobody() {
    for otlp in [Otlp::Grpc, Otlp::Http] {
        let collector = Collector::start(otlp, Manner::Fails);
        harms_nobody(&format!("http://{}", collector.address), otlp).await;
        assert!(collector.taken().connections > 0, "it was asked");
    }
}

#[tokio::test]
async fn a_collector_that_raves_harms_nobody() {
    for otlp in [Otlp::Grpc, Otlp::Http] {
        let collector = Collector::start(otlp, Manner::Raves);
        harms_nobody(&format!("http://{}", collector.address), otlp).await;
        assert!(collector.taken().connections > 0, "it was asked");
    }
}

/// A collector that takes its time: nobody waits for its answers, and it has every span and every count in the end.
#[tokio::test]
async fn a_collector_that_is_slow_delays_nobody_and_misses_nothing() {
    for otlp in [Otlp::Grpc, Otlp::Http] {
        let collector = Collector::start(otlp, Manner::Slow);
        let endpoint = format!("http://{}", collector.address);
        let pod = Pod::start(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", otlp.name()),
            ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ]);
        let stream = stream_for("slow-collector");
        let mut viewer = Join::new(&pod, &stream).open().await;
        viewer.say("the first span").await;
        eventually("it has spans and metrics in hand", PATIENCE, async || {
            let taken = collector.taken();
            (!taken.spans("post").is_empty() && !taken.metrics.is_empty()).then_some(())
        })
        .await;
        // It has answered nobody yet.
        tokio::join!(pod.fill(&stream, 300, " traced"), viewer.comments(301));
        collector.answer();
        eventually("every span", PATIENCE, async || {
            (collector.taken().spans("post").len() == 301).then_some(())
        })
        .await;
        let scrape = Scrape::of(&pod).await;
        for signal in ["spans", "metrics"] {
            let label = format!("signal=\"{signal}\"");
            assert_eq!(scrape.sum("fanfare_telemetry_dropped_total", &[&label]), 0.0, "{signal}");
        }
        drop(viewer);
        pod.signal(Signal::Term);
        assert_eq!(pod.exit(PATIENCE).await, Some(0));
    }
}

/// A collector that is an HTTP server of another kind, and one that speaks the other protocol.
#[tokio::test]
async fn a_collector_of_another_protocol_harms_nobody() {
    for (collector, otlp) in [(Otlp::Http, Otlp::Grpc), (Otlp::Grpc, Otlp::Http)] {
        let collector = Collector::start(collector, Manner::Takes);
        harms_nobody(&format!("http://{}", collector.address), otlp).await;
    }
}

/// Symptom: a setting that another SDK understands (`jaeger_remote`, `console`, an address with TLS) ended the pod with
/// code 2, and a list of attributes with `1team` took `/metrics` away. Cause: values of the standard were faults here.
#[tokio::test]
async fn settings_of_the_standard_that_are_not_offered_are_logged_and_the_pod_serves() {
    let pod = Pod::start(&[
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_SDK_DISABLED", "perhaps"),
        ("OTEL_METRICS_EXPORTER", "console"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example:4317"),
        ("OTEL_METRIC_EXPORT_INTERVAL", ""),
        ("OTEL_RESOURCE_ATTRIBUTES", "1team=x%2Cy,deployment.environment=a,deployment_environment=b"),
    ]);
    for name in
        ["OTEL_TRACES_SAMPLER", "OTEL_SDK_DISABLED", "OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT"]
    {
        pod.logged(&["setting ignored", name], PATIENCE).await;
    }
    let stream = stream_for("otel-settings");
    let mut viewer = Join::new(&pod, &stream).open().await;
    pod.post(&stream, "hi").await;
    viewer.comments(1).await;
    let scrape = Scrape::of(&pod).await;
    let labels = [r#"key_1team="x,y""#, r#"deployment_environment="a;b""#];
    assert_eq!(scrape.sum("target_info", &labels), 1.0);
    scrape.is_accepted_by_promtool();
}
