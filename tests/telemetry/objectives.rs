//! What is in time is a setting.

use std::time::Duration;

use super::Scrape;
use crate::world::{Join, PATIENCE, Pod, RedisServer, eventually, pause, stream_for};

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
    let (watched, new) = (stream_for("objectives"), stream_for("objectives-new"));
    let mut viewer = Join::new(&pod, &watched).open().await;
    redis.freeze();
    let join = Join::new(&pod, &new);
    // A join and a post that take longer than the usual objectives, since they wait for the shard.
    let post = async {
        pause(Duration::from_millis(400)).await;
        viewer.say("late").await;
    };
    let thaw = async {
        pause(Duration::from_millis(700)).await;
        redis.thaw();
    };
    let (_late, (), ()) = tokio::join!(join.open(), post, thaw);
    viewer.comments(1).await;
    let scrape = eventually("both are counted", PATIENCE, async || {
        let scrape = Scrape::of(&pod).await;
        let joined = scrape.sum("fanfare_joins_total", &["outcome=\"joined\""]);
        let delivered = scrape.sum("fanfare_delivery_duration_seconds_count", &[]);
        (joined == 2.0 && delivered >= 1.0).then_some(scrape)
    })
    .await;
    let below =
        |metric: &str, edge: &str| scrape.sum(&format!("{metric}_bucket"), &[&format!("le=\"{edge}\"")]);
    let (delivery, join) = ("fanfare_delivery_duration_seconds", "fanfare_join_duration_seconds");
    assert!(below(delivery, "0.2") < below(delivery, "30"), "the delivery took longer than is usual");
    assert_eq!((below(join, "0.5"), below(join, "45")), (1.0, 2.0));
    assert_eq!(scrape.sum("fanfare_deliveries_total", &["slo=\"late\""]), 0.0);
    assert_eq!(scrape.sum("fanfare_joins_total", &["slo=\"late\""]), 0.0);
    let status = pod.probe("/status.json").await.json();
    assert_eq!(
        (&status["delivery"]["objective_ms"], &status["join"]["objective_ms"]),
        (&30_000.0.into(), &45_000.0.into())
    );
}
