//! The dashboard's queries and the rules, asked of a real Prometheus that scrapes real pods under load.

use std::time::Duration;

use testkit::{
    Pod, RedisServer,
    prometheus::{Crowd, Prometheus, dashboard_questions},
};

/// Every query of the dashboard has an answer, and every rule can be evaluated, against a blue and a green pod on Redis.
/// Alerts, which have one only in trouble, are made to fire by `make verify` (tests/observed).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_the_dashboard_returns_data() {
    let redis = RedisServer::start();
    let shards = format!("a={}", redis.url());
    let [blue, green] = [("one", "blue"), ("two", "green")].map(|(name, track)| {
        Pod::start(&[("FANFARE_SHARDS", &shards), ("FANFARE_POD", name), ("FANFARE_TRACK", track)])
    });
    blue.ready().await;
    green.ready().await;
    let prometheus = Prometheus::start(&[&blue, &green]).await;
    let _crowd = Crowd::on(&[&blue, &green], 5, 2).await;
    let both = prometheus.answers("both tracks", "count(fanfare:slo_all:rate5m{sli=\"join\"}) > 1", PATIENCE);
    both.await;
    for question in dashboard_questions() {
        // What marks a deploy is there only at its beginning, and what marks alerts only in trouble.
        if ["Alerts", "Deploys"].contains(&question.panel.as_str()) {
            prometheus.ask(&question.query);
        } else {
            prometheus.answers(&question.panel, &question.query, PATIENCE).await;
        }
    }
    for rule in prometheus.rules() {
        assert_eq!((&rule["health"], rule.get("lastError")), (&"ok".into(), None), "{rule}");
        let name = rule["name"].as_str().unwrap();
        if rule["type"] == "recording" && !OF_PODS_THAT_END.contains(&name) {
            prometheus.answers("a recording rule", name, PATIENCE).await;
        }
    }
}

/// Recorded only while pods end, or when they are missing.
const OF_PODS_THAT_END: [&str; 3] = ["fanfare:track:told_at", "fanfare:pods:silent", "fanfare:pods:missing"];

/// How long a figure may take to come: some scrapes, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(40);
