//! Pods of one track, of which one gets hot, or all.

use std::time::Duration;

use futures_util::future::join_all;
use testkit::{
    Authority, Balancer, Crowd, Heater, Http2, Join, PATIENCE, Pod, RedisServer, eventually, pause,
    speak_tls, stream_for,
};
use tokio::time::timeout;

use super::load::{touchy, until_ready};

/// Probes are work too, and these pods are touchy.
const PROBE_EVERY: Duration = Duration::from_millis(200);

/// Three pods on a Redis that get hot from a little work.
fn three(redis: &RedisServer, settings: &[(&str, &str)]) -> Vec<Pod> {
    let shards = format!("a={}", redis.url());
    let start = |name| {
        let own = [("FANFARE_SHARDS", shards.as_str()), ("FANFARE_POD", name)];
        touchy(&[&own, settings].concat())
    };
    ["one", "two", "three"].map(start).into()
}

/// Waits until every pod knows that there are three.
async fn until_a_fleet(pods: &[Pod]) {
    for pod in pods {
        eventually("three pods know each other", PATIENCE, async || {
            pause(PROBE_EVERY).await;
            (pod.probe("/ready").await.json()["fleet"]["pods"] == 3).then_some(())
        })
        .await;
    }
}

async fn ready_pods(pods: &[Pod]) -> usize {
    let mut ready = 0;
    for pod in pods {
        ready += usize::from(pod.probe("/ready").await.status == 200);
    }
    ready
}

/// G12, P15: when the whole track is hot none leaves, or at most one, and who left before comes back; without the fleet's
/// shard all stay ready.
#[tokio::test(flavor = "multi_thread")]
async fn g12_of_a_hot_track_at_most_one_pod_in_three_leaves() {
    let redis = RedisServer::start();
    let pods = three(&redis, &[]);
    until_a_fleet(&pods).await;
    let mut heaters: Vec<_> = pods.iter().map(Heater::on).collect();
    for _ in 0..60 {
        assert!(ready_pods(&pods).await >= 2);
        pause(PROBE_EVERY).await;
    }
    for pod in &pods {
        eventually("all are hot", PATIENCE, async || {
            pause(PROBE_EVERY).await;
            (pod.probe("/ready").await.json()["hot"] == true).then_some(())
        })
        .await;
        assert!(ready_pods(&pods).await >= 2);
    }
    eventually("all take viewers", PATIENCE, async || {
        pause(PROBE_EVERY).await;
        (ready_pods(&pods).await == 3).then_some(())
    })
    .await;
    redis.freeze();
    for _ in 0..20 {
        assert_eq!(ready_pods(&pods).await, 3, "an unreadable fleet lets nobody go");
        pause(PROBE_EVERY).await;
    }
    redis.thaw();
    // Only the first stays hot: now it may leave.
    heaters.truncate(1);
    until_ready(&pods[0], false).await;
    assert_eq!(ready_pods(&pods).await, 2);
}

/// README "Readiness": new viewers go elsewhere, old ones stay, and the excess of a pod that stays hot moves, with nothing
/// missing and nothing twice; not faster than 1 % of its viewers a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_stays_hot_moves_its_excess_and_nothing_is_lost() {
    let redis = RedisServer::start();
    let pods = three(&redis, &[]);
    until_a_fleet(&pods).await;
    let balancer = Balancer::of(&pods);
    let stream = stream_for("excess");
    let crowd = Crowd { stream: &stream, viewers: 60, posts_per_second: 5 };
    let viewers = async |pod: usize| {
        pause(PROBE_EVERY).await;
        pods[pod].probe("/ready").await.json()["viewers"].as_u64().unwrap()
    };
    let shedding = async {
        eventually("all are there", PATIENCE, async || (viewers(0).await == 60).then_some(())).await;
        let _heater = Heater::on(&pods[0]);
        until_ready(&pods[0], false).await;
        let newcomer = Join::at(balancer.address, &stream);
        pause(Duration::from_millis(500)).await;
        for _ in 0..4 {
            let pod = newcomer.open().await.hello()["pod"].clone();
            assert_ne!(pod, "one", "new viewers go elsewhere");
        }
        eventually("four have moved", PATIENCE, async || (viewers(0).await <= 56).then_some(())).await;
    };
    let (ledger, journeys) = crowd.run(pods[0].public, balancer.address, shedding).await;
    ledger.assert_nothing_lost();
    let moved: Vec<_> = journeys.iter().filter(|journey| journey.pods.len() > 1).collect();
    assert!((4..30).contains(&moved.len()), "{} moved", moved.len());
    for journey in &journeys {
        let moves = journey.pods.len() - 1;
        assert!(journey.cuts == 0 && moves <= 1 && journey.asked.len() == moves, "{journey:?}");
        assert!(journey.asked.iter().all(|reason| reason == "rebalance"), "{journey:?}");
        assert!(journey.pods[1..].iter().all(|pod| pod != "one"), "{journey:?}");
    }
}

/// Over HTTP/2 the connection of a viewer that is asked to move is retired before the viewer is told: its new socket goes
/// over another connection, which may lead to another pod.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_retired_before_its_viewer_is_asked_to_move() {
    let (redis, authority, stream) = (RedisServer::start(), Authority::create(), stream_for("shared"));
    let (certificate, key) = (authority.file("server.pem"), authority.file("server.key"));
    let pods = three(&redis, &[("FANFARE_TLS_CERT", &certificate), ("FANFARE_TLS_KEY", &key)]);
    speak_tls(pods[0].public, &authority);
    until_a_fleet(&pods).await;
    let connection = Http2::connect(pods[0].public).await;
    let mut viewers = Vec::new();
    for _ in 0..12 {
        viewers.push(Join::new(&pods[0], &stream).open_on(&connection).await);
    }
    assert!(connection.takes_streams().await);
    let _heater = Heater::on(&pods[0]);
    let moved = async {
        loop {
            for viewer in &mut viewers {
                let _ = viewer.try_read(Duration::from_millis(20)).await;
                if viewer.has("reconnect") {
                    return;
                }
            }
        }
    };
    timeout(2 * PATIENCE, moved).await.expect("a viewer is asked to move");
    assert!(!connection.takes_streams().await);
    // Those who were not asked stay.
    viewers.retain(|viewer| !viewer.has("reconnect"));
    assert!(viewers.len() >= 8 && viewers.iter().all(|viewer| viewer.closed.is_none()));
}

/// `FANFARE_SHED=false`: a pod that stays hot keeps its viewers.
#[tokio::test(flavor = "multi_thread")]
async fn without_shedding_a_hot_pod_keeps_its_viewers() {
    let redis = RedisServer::start();
    let pods = three(&redis, &[("FANFARE_SHED", "false"), ("FANFARE_READY_COOL_FOR", "1s")]);
    until_a_fleet(&pods).await;
    let stream = stream_for("kept");
    let join = Join::new(&pods[0], &stream);
    let mut viewers = Vec::new();
    while viewers.len() < 10 {
        viewers.push(join.open().await);
    }
    let hot = async {
        let _heater = Heater::on(&pods[0]);
        until_ready(&pods[0], false).await;
        for _ in 0..24 {
            assert_eq!(pods[0].probe("/ready").await.json()["viewers"], 10);
            pause(PROBE_EVERY).await;
        }
    };
    // They read all the time, since a pod that hears no answer to its pings lets a viewer go.
    let reading = join_all(
        viewers.iter_mut().map(async |viewer| while viewer.try_read(PATIENCE).await != Some(false) {}),
    );
    tokio::select! {
        () = hot => {}
        _ = reading => panic!("every viewer was closed"),
    }
    for viewer in &mut viewers {
        viewer.ping().await;
        assert!(!viewer.has("reconnect"));
    }
}
