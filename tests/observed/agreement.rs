//! The service levels as the pods tell them, beside what a load tester saw from outside.

use std::{path::Path, process::Command, time::Duration};

use serde_json::Value;
use testkit::{PATIENCE, Pod, RedisServer, prometheus::Prometheus};

use crate::NEVER_HOT;

/// The edges of the pods' buckets, in seconds.
const EDGES: [f64; 13] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

fn bucket(seconds: f64) -> usize {
    EDGES.iter().position(|edge| seconds <= *edge).unwrap_or(EDGES.len())
}

async fn load(pods: &[&Pod]) -> Value {
    let tester = Path::new(env!("CARGO_BIN_EXE_fanfare")).with_file_name("loadtest");
    let report = std::env::temp_dir().join(format!("fanfare-observed-{}.json", std::process::id()));
    let mut command = Command::new(&tester);
    command.args(["run", "--viewers", "100", "--rate", "10", "--seconds", "15", "--streams", "4", "--rest"]);
    // The tester's join begins with its connect, the pod's when the handshake is complete: one at a time, the difference
    // is the way of two packets, not the tester's own queue. What is compared are the figures, good or bad.
    command.args(["--in-flight", "1", "--tolerate", "refused,unanswered,late,late joins"]);
    pods.iter().for_each(|pod| {
        command.arg("--url").arg(format!("ws://{}", pod.public));
    });
    command.arg("--json").arg(&report);
    let said = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let said =
        said.unwrap_or_else(|error| panic!("{}: {error}; build the whole workspace first", tester.display()));
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    let text = std::fs::read_to_string(&report).unwrap();
    let _ = std::fs::remove_file(&report);
    serde_json::from_str(&text).unwrap()
}

/// Both service levels, from Prometheus and from the tester of the same run: medians within one bucket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_and_the_load_tester_agree() {
    let redis = RedisServer::start();
    let shards = format!("a={}", redis.url());
    let [one, two] = ["one", "two"]
        .map(|name| Pod::start(&[("FANFARE_SHARDS", &shards), ("FANFARE_POD", name), NEVER_HOT]));
    one.ready().await;
    two.ready().await;
    let prometheus = Prometheus::start(&[&one, &two]).await;
    // What is counted before the first look is no increase.
    prometheus.answers("both are looked at", "count(fanfare_ready) == 2", PATIENCE).await;
    let report = load(&[&one, &two]).await;
    // The pods are new: what they counted so far is the run.
    let delivered = report["deliveries"]["delivered"].as_u64().unwrap();
    let scraped = format!("sum(fanfare_deliveries_total{{slo!=\"skipped\"}}) == {delivered}");
    prometheus.answers("each delivery is counted exactly once", &scraped, PATIENCE).await;
    println!("\n                        Prometheus          load tester");
    for (name, metric, field) in [("publish to deliver", "delivery", "delivery"), ("join", "join", "join")] {
        let quantile = |of: f64| {
            let query =
                format!("histogram_quantile({of}, sum by (le) (fanfare_{metric}_duration_seconds_bucket))");
            prometheus.ask(&query)[0]
        };
        let tester = |of: &str| report["latencies"][field][of].as_f64().unwrap() / 1e6;
        let (median, theirs) = (quantile(0.5), tester("p50_us"));
        let line = |median: f64, tail: f64| format!("{:7.1} / {:7.1} ms", median * 1e3, tail * 1e3);
        println!(
            "{name:20} {}  {}   p50 / p99",
            line(median, quantile(0.99)),
            line(theirs, tester("p99_us"))
        );
        let apart = bucket(median).abs_diff(bucket(theirs));
        assert!(apart <= 1, "{name}: {median} s and {theirs} s are {apart} buckets apart");
    }
    for (name, sli) in
        [("deliveries in 200 ms", "delivery"), ("joins in 500 ms", "join"), ("posts acked", "post")]
    {
        let kept = format!("1 - sum(fanfare:slo_bad:ratio1h{{sli=\"{sli}\"}})");
        let kept = prometheus.answers("the service level", &kept, Duration::from_secs(10)).await[0];
        println!("{name:20} {:7.2} %", kept * 100.0);
    }
}
