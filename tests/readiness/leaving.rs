//! How pods go while others stay: with shards and viewers that hang, and one after the other under load.

use std::time::Duration;

use futures_util::future::join_all;
use testkit::{
    Balancer, Collector, Crowd, Join, Manner, Otlp, PATIENCE, Pod, RedisServer, Signal, eventually, pause,
    stream_for,
};

/// G11, P3: the exit is in time although the shard hangs, the collector is a black hole and viewers do not read; those who
/// do are told.
#[tokio::test(flavor = "multi_thread")]
async fn g11_the_exit_is_in_time_although_shard_collector_and_viewers_hang() {
    for otlp in [Otlp::Grpc, Otlp::Http] {
        let (redis, collector) = (RedisServer::start(), Collector::start(otlp, Manner::Hangs));
        let (shards, endpoint) = (format!("a={}", redis.url()), format!("http://{}", collector.address));
        let pod = Pod::start(&[
            ("FANFARE_SHARDS", &shards),
            ("FANFARE_SETTLE", "1s"),
            ("FANFARE_DRAIN", "3s"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", otlp.name()),
            ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ]);
        let stream = stream_for("hangs");
        let mut listens = Join::new(&pod, &stream).open().await;
        let stuck =
            join_all((0..20).map(|_| async { Join::new(&pod, &stream).short_of_buffer().open().await }));
        let _stuck = stuck.await;
        pod.fill(&stream, 1_000, &"x".repeat(200)).await;
        eventually("the collector has a push in hand", PATIENCE, async || {
            (collector.taken().connections > 0).then_some(())
        })
        .await;
        redis.freeze();
        pod.signal(Signal::Term);
        assert_eq!(listens.until_closed().await, Some(1001));
        assert!(listens.has("reconnect"));
        assert_eq!(pod.exit(PATIENCE).await, Some(0));
    }
}

/// P5, G5, G11: four pods are replaced one after the other under load. Nobody misses anything, nobody is cut, and each
/// pod that a viewer was on made it connect again at most once.
#[tokio::test(flavor = "multi_thread")]
async fn p5_a_rolling_restart_moves_each_viewer_once_for_each_pod_and_loses_nothing() {
    let redis = RedisServer::durable();
    let shards = format!("a={}", redis.url());
    let start = |name: String| {
        let times = [("FANFARE_SETTLE", "1s"), ("FANFARE_DRAIN", "3s")];
        Pod::start(&[&times[..], &[("FANFARE_SHARDS", &shards), ("FANFARE_POD", &name)]].concat())
    };
    let old: Vec<_> = (0..4).map(|number| start(format!("old-{number}"))).collect();
    let balancer = Balancer::of(&old);
    let stream = stream_for("rolling");
    let crowd = Crowd { stream: &stream, viewers: 40, posts_per_second: 50 };
    let mut new = Vec::new();
    let rolling = async {
        pause(Duration::from_secs(1)).await;
        for (number, pod) in old.iter().enumerate() {
            new.push(start(format!("new-{number}")));
            balancer.add(&new[number]);
            eventually("the new one hears the shard", PATIENCE, async || {
                (new[number].ready().await["shards"]["a"]["up"] == true).then_some(())
            })
            .await;
            pod.signal(Signal::Term);
            assert_eq!(pod.exit(PATIENCE).await, Some(0));
        }
    };
    let (ledger, journeys) = crowd.run(balancer.address, balancer.address, rolling).await;
    ledger.assert_nothing_lost();
    for journey in &journeys {
        let mut pods = journey.pods.clone();
        pods.sort_unstable();
        pods.dedup();
        assert_eq!(pods.len(), journey.pods.len(), "twice on one pod: {journey:?}");
        assert!(pods.len() > 1 && pods.iter().any(|pod| pod.starts_with("new")), "{journey:?}");
        assert_eq!((journey.cuts, journey.asked.len()), (0, journey.pods.len() - 1), "{journey:?}");
        assert!(journey.asked.iter().all(|reason| reason == "drain"), "{journey:?}");
    }
}
