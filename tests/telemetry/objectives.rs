//! What is in time is a setting.

use std::time::Duration;

use serde_json::json;
use testkit::{Join, PATIENCE, Pod, RedisServer, eventually, pause, stream_for};

use super::Scrape;

/// README "Settings": `FANFARE_SLO_DELIVER` and `FANFARE_SLO_JOIN` say what is late, are edges of the buckets, and stand on
/// the status page.
#[tokio::test]
async fn what_is_late_is_a_setting_and_an_edge_of_the_buckets() {
    let redis = RedisServer::start();
    let shards = format!("a={}", redis.url());
    let pod = Pod::start(&[
        ("FANFARE_SHARDS", &shards),
        ("FANFARE_SLO_DELIVER", "30s"),
        ("FANFARE_SLO_JOIN", "45s"),
    ]);
    let watched = stream_for("objectives");
    let mut viewer = Join::new(&pod, &watched).open().await;
    // A join and a post that take longer than the usual objectives, since they wait for the shard. On a machine so busy that
    // the shard does not answer the post in time, the next try does.
    let mut scrape = Scrape::of(&pod).await;
    let below = |scrape: &Scrape, metric: &str, edge: &str| {
        scrape.sum(&format!("{metric}_bucket"), &[&format!("le=\"{edge}\"")])
    };
    let (delivery, join) = ("fanfare_delivery_duration_seconds", "fanfare_join_duration_seconds");
    let between =
        |scrape: &Scrape, metric, usual, set| below(scrape, metric, set) - below(scrape, metric, usual);
    for attempt in 1.. {
        assert!(attempt <= 10, "no post and join were late, yet answered");
        redis.freeze();
        let new = stream_for("objectives-new");
        let joining = Join::new(&pod, &new);
        let thaw = async {
            pause(Duration::from_millis(700)).await;
            redis.thaw();
        };
        let (late, answer, ()) = tokio::join!(joining.open(), viewer.post(json!({"body": "late"})), thaw);
        drop(late);
        if answer["type"] != "posted" {
            continue;
        }
        let seq = answer["seq"].as_u64().unwrap();
        viewer.until("the late comment", |viewer| viewer.seqs().contains(&seq)).await;
        scrape = eventually("join and delivery are counted", PATIENCE, async || {
            let scrape = Scrape::of(&pod).await;
            let joined = scrape.sum("fanfare_joins_total", &["outcome=\"joined\""]);
            let delivered = scrape.sum("fanfare_delivery_duration_seconds_count", &[]);
            (joined > f64::from(attempt) && delivered >= 1.0).then_some(scrape)
        })
        .await;
        if between(&scrape, delivery, "0.2", "30") > 0.0 && between(&scrape, join, "0.5", "45") > 0.0 {
            break;
        }
    }
    assert_eq!(scrape.sum("fanfare_deliveries_total", &["slo=\"late\""]), 0.0);
    assert_eq!(scrape.sum("fanfare_joins_total", &["slo=\"late\""]), 0.0);
    let status = pod.probe("/status.json").await.json();
    assert_eq!(
        (&status["delivery"]["objective_ms"], &status["join"]["objective_ms"]),
        (&30_000.0.into(), &45_000.0.into())
    );
}
