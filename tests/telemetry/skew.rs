//! Clocks that differ: a pod's is two seconds behind, and another's two seconds ahead, of the shard's.

use std::fs;

use testkit::{Join, PATIENCE, Pod, RedisServer, eventually, faketime, stream_for};

use super::Scrape;

fn pod(name: &str, shards: &str, clock: &str) -> Pod {
    let library = faketime();
    // Timers go by the monotonic clock, which no clock's setting changes.
    let settings =
        [("LD_PRELOAD", library.as_str()), ("FAKETIME", clock), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    let own = [("FANFARE_POD", name), ("FANFARE_SHARDS", shards), ("DONT_FAKE_MONOTONIC", "1")];
    Pod::start(&[&settings[..], &own].concat())
}

async fn knows_the_clock(pod: &Pod, ahead_s: i64) {
    eventually("the shard's clock is known", PATIENCE, async || {
        let ahead_us = pod.probe("/ready").await.json()["shards"]["a"]["clock_ahead_us"].as_i64()?;
        ((ahead_us - ahead_s * 1_000_000).abs() < 100_000).then_some(())
    })
    .await;
}

const STAGE: &str = "fanfare_delivery_stage_duration_seconds";

/// Stages and the whole are right on every pod, whoever posts: times are told in the shard's time.
#[tokio::test]
async fn a_pod_with_a_wrong_clock_measures_right() {
    let (redis, stream) = (RedisServer::start(), stream_for("skew"));
    let shards = format!("a={}", redis.url());
    let pods = [pod("behind", &shards, "-2s"), pod("ahead", &shards, "+2s"), pod("right", &shards, "+0s")];
    for (pod, ahead_s) in pods.iter().zip([2, -2, 0]) {
        knows_the_clock(pod, ahead_s).await;
    }
    let mut viewers = Vec::new();
    for pod in &pods {
        viewers.push(Join::new(pod, &stream).open().await);
    }
    // The first comment may find the subscriptions on their way; it is not what is measured here.
    let mut posted = 0;
    for pod in pods.iter().cycle().take(30) {
        pod.post(&stream, "hi").await;
        posted += 1;
        for viewer in &mut viewers {
            viewer.comments(posted).await;
        }
    }
    for pod in &pods {
        let scrape = Scrape::of(pod).await;
        let means = [
            scrape.mean("fanfare_delivery_duration_seconds", &["priority=\"false\""]),
            scrape.mean(STAGE, &["stage=\"bus\""]),
            scrape.mean(STAGE, &["stage=\"commit\""]),
        ];
        // Two seconds of error on a third of the posts would make two thirds of a second.
        assert!(means.iter().all(|mean| (0.0..0.3).contains(mean)), "{means:?}");
        let within = scrape.sum("fanfare_deliveries_total", &["slo=\"within\""]);
        assert!(within >= 25.0, "{within} of {posted} were in time");
    }
}

/// A clock that is set back shows at once: what comes out negative is counted, and is no time. And soon it is followed.
#[tokio::test]
async fn a_clock_that_is_set_back_is_counted_and_followed() {
    let (redis, stream) = (RedisServer::start(), stream_for("negative"));
    let clock = std::env::temp_dir().join(format!("fanfare-clock-{}", std::process::id()));
    fs::write(&clock, "+0s").unwrap();
    let (library, shards) = (faketime(), format!("a={}", redis.url()));
    let pod = Pod::start(&[
        ("LD_PRELOAD", &library),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("FANFARE_SHARDS", &shards),
    ]);
    knows_the_clock(&pod, 0).await;
    let mut viewer = Join::new(&pod, &stream).open().await;
    fs::write(&clock, "-2s").unwrap();
    let before = Scrape::of(&pod).await;
    for posted in 1..=3 {
        pod.post(&stream, "hi").await;
        viewer.comments(posted).await;
    }
    let scrape = Scrape::of(&pod).await;
    let grew = |metric: &str, labels: &[&str]| scrape.sum(metric, labels) - before.sum(metric, labels);
    assert!(grew("fanfare_clock_negative_total", &[]) >= 3.0);
    assert_eq!(grew(&format!("{STAGE}_sum"), &["stage=\"bus\""]), 0.0);
    assert_eq!(grew(&format!("{STAGE}_count"), &["stage=\"bus\""]), 3.0);
    knows_the_clock(&pod, 2).await;
    fs::remove_file(clock).unwrap();
}
