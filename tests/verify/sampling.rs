//! The collector's example of tail sampling, in a real collector.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use testkit::{
    Collector, Direction, Fault, Join, Manner, Otlp, PATIENCE, Pod, RedisServer, Relay, TempFile, eventually,
    stream_for,
};
use tokio::net::TcpStream;

/// The posts, and so the slow deliveries.
const POSTS: usize = 5;

/// A collector that samples as the example says and sends what it keeps on. Dropping it ends the process.
struct Sampling {
    child: Child,
    endpoint: String,
    _configuration: TempFile,
}

impl Sampling {
    async fn before(to: &Collector) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let example = fs::read_to_string(root.join("deploy/otel-collector.tail.yaml")).unwrap();
        let example: Value = serde_yaml_ng::from_str(&example).unwrap();
        let mut sampling = example["processors"]["tail_sampling"].clone();
        sampling["decision_wait"] = "1s".into();
        // Chance is the only thing that is not tried.
        for policy in sampling["policies"].as_array_mut().unwrap() {
            if let Some(share) = policy.pointer_mut("/probabilistic/sampling_percentage") {
                *share = 0.into();
            }
        }
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let configuration = json!({
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": address.to_string()}}}},
            "processors": {"tail_sampling": sampling},
            "exporters": {"otlp_http": {"endpoint": format!("http://{}", to.address), "compression": "none"}},
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"traces": {
                    "receivers": ["otlp"], "processors": ["tail_sampling"], "exporters": ["otlp_http"],
                }},
            },
        });
        let configuration = TempFile::with(&configuration.to_string());
        let built =
            Command::new(root.join("scripts/collector.sh")).stderr(Stdio::inherit()).output().unwrap();
        assert!(built.status.success(), "scripts/collector.sh");
        let child = Command::new(String::from_utf8(built.stdout).unwrap().trim())
            .args(["--config", configuration.path()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let sampling = Self { child, endpoint: format!("http://{address}"), _configuration: configuration };
        eventually("the collector takes connections", PATIENCE, async || {
            TcpStream::connect(address).await.ok()
        })
        .await;
        sampling
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The example keeps the spans of deliveries that took longer than the objective, and none of the others.
#[tokio::test(flavor = "multi_thread")]
async fn tail_sampling_keeps_the_slow_deliveries() {
    let (kept, redis, stream) =
        (Collector::start(Otlp::Http, Manner::Takes), RedisServer::start(), stream_for("sampled"));
    let sampling = Sampling::before(&kept).await;
    let path = Relay::to_port(redis.port()).await;
    let pod = |name: &str, shards: &str| {
        Pod::start(&[
            ("FANFARE_POD", name),
            ("FANFARE_SHARDS", shards),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &sampling.endpoint),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ])
    };
    let quick = pod("quick", &format!("a={}", redis.url()));
    let slow = pod("slow", &format!("a=redis://{}", path.address));
    let (mut near, mut far) =
        (Join::new(&quick, &stream).open().await, Join::new(&slow, &stream).open().await);
    eventually("both pods are subscribed", PATIENCE, async || {
        redis.cli(&["PUBSUB", "NUMSUB", &format!("ff:{{{stream}}}")]).ends_with('2').then_some(())
    })
    .await;
    path.inject(Direction::ToClient, Fault::Delay(Duration::from_millis(800)));
    for _ in 0..POSTS {
        quick.post(&stream, "hi").await;
    }
    near.comments(POSTS).await;
    far.comments(POSTS).await;
    let spans = eventually("the slow deliveries are kept", PATIENCE, async || {
        let spans = kept.taken().spans("deliver");
        (spans.len() >= POSTS).then_some(spans)
    })
    .await;
    // The quick ones came to the collector first, and were decided upon first.
    assert_eq!(spans.len(), POSTS, "{spans:?}");
    assert_eq!(kept.taken().spans("post").len(), 0);
    println!("tail sampling kept {POSTS} slow deliveries of {}", 2 * POSTS);
}
