//! What the suite tests with three times the bound, or in short, at its exact time and length.

use std::{
    fs,
    time::{Duration, Instant},
};

use testkit::{
    Cluster, Direction, Fault, HEALED, Join, Relay, Signal, Viewer,
    checker::{Drill, Ledger},
    eventually, pause, stream_for,
};

/// G9.
const NOTICED: Duration = Duration::from_secs(3);
/// G9, and what a busy machine adds to an answer on its way.
const ANSWERED: Duration = Duration::from_millis(1_700);

async fn drill(cluster: &Cluster, streams: &[String], trouble: impl Future<Output = ()>) -> Ledger {
    let drill = Drill { pods: &cluster.pods, streams, viewers: 2, posts_per_second: 50 };
    drill.run(trouble).await
}

/// R2, G5, G9: SIGSTOP of a Redis for 1, 5 and 30 s: noticed within 3 s, posts answered within 1.5 s, nothing lost.
#[tokio::test(flavor = "multi_thread")]
async fn r2_freezes_of_1_5_and_30_seconds_lose_nothing() {
    let cluster = Cluster::start(2, 1, &[("FANFARE_HISTORY_COMMENTS", "5000")]).await;
    for seconds in [1, 5, 30] {
        let streams: Vec<_> = (0..4).map(|_| stream_for("frozen")).collect();
        let freeze = async {
            pause(Duration::from_secs(1)).await;
            let begun = Instant::now();
            cluster.redis(0).freeze();
            if seconds > NOTICED.as_secs() {
                cluster.until_up(0, false, NOTICED + Duration::from_millis(200)).await;
                println!("SIGSTOP for {seconds} s: noticed after {:.2?}", begun.elapsed());
            }
            pause(Duration::from_secs(seconds).saturating_sub(begun.elapsed())).await;
            let thawed = Instant::now();
            cluster.redis(0).thaw();
            cluster.healed().await;
            println!("SIGSTOP for {seconds} s: up again after {:.2?}", thawed.elapsed());
        };
        let ledger = drill(&cluster, &streams, freeze).await;
        ledger.assert_nothing_lost();
        let (failed, slowest) = ledger.attempts(&streams);
        println!("SIGSTOP for {seconds} s: {failed} attempts unanswered, the slowest took {slowest:.2?}");
        assert!(slowest < ANSWERED, "{slowest:?}");
    }
}

/// G10: while one shard is frozen for 5 s, no post to the other fails or waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn g10_no_post_to_another_shard_notices_a_freeze() {
    let cluster = Cluster::start(2, 2, &[]).await;
    let here = cluster.streams_of(0, "frozen", 2).await;
    let elsewhere = cluster.streams_of(1, "frozen", 2).await;
    let freeze = async {
        pause(Duration::from_secs(1)).await;
        cluster.redis(0).freeze();
        pause(Duration::from_secs(5)).await;
        cluster.redis(0).thaw();
        cluster.healed().await;
    };
    let ledger = drill(&cluster, &[here.as_slice(), &elsewhere].concat(), freeze).await;
    ledger.assert_nothing_lost();
    assert!(ledger.attempts(&here).0 > 0, "no post met the freeze");
    let (failed, slowest) = ledger.attempts(&elsewhere);
    println!("SIGSTOP of another shard: {failed} attempts unanswered, the slowest took {slowest:.2?}");
    assert!(failed == 0 && slowest < Duration::from_secs(1), "{failed} failed, {slowest:?}");
}

/// R8: a hundred CLIENT KILLs within a minute.
#[tokio::test(flavor = "multi_thread")]
async fn r8_a_hundred_kills_within_a_minute_lose_nothing() {
    let cluster = Cluster::start(2, 2, &[]).await;
    let streams: Vec<_> = (0..8).map(|_| stream_for("kills")).collect();
    let kills = async {
        for round in 0..100 {
            pause(Duration::from_millis(600)).await;
            let kind = if round % 3 == 0 { "normal" } else { "pubsub" };
            cluster.redis(round % 2).cli(&["CLIENT", "KILL", "TYPE", kind]);
        }
        cluster.healed().await;
    };
    drill(&cluster, &streams, kills).await.assert_nothing_lost();
}

/// G15: the viewers of a pod that was killed are gone within 20 s.
#[tokio::test(flavor = "multi_thread")]
async fn g15_a_killed_pods_viewers_are_gone_within_20_seconds() {
    let (cluster, stream) = (Cluster::start(2, 1, &[]).await, stream_for("killed"));
    let _killed = Join::new(&cluster.pods[0], &stream).named("ann").open().await;
    let mut left = Join::new(&cluster.pods[1], &stream).named("ben").open().await;
    let are_told = |viewer: &Viewer, viewers: u64| {
        let newest = viewer.log.iter().rev().find_map(|frame| frame.json["viewers"].as_u64());
        newest == Some(viewers)
    };
    left.until("both", |viewer| are_told(viewer, 2)).await;
    let killed = Instant::now();
    cluster.pods[0].signal(Signal::Kill);
    left.until("one", |viewer| are_told(viewer, 1)).await;
    let took = killed.elapsed();
    println!("SIGKILL of a pod: its viewers are gone after {took:.2?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// V3, G9: a viewer whose path is dead, without a word, is gone within 36 s.
#[tokio::test(flavor = "multi_thread")]
async fn v3_a_viewer_whose_path_is_dead_is_gone_within_36_seconds() {
    let (cluster, stream) = (Cluster::start(1, 1, &[]).await, stream_for("half-open"));
    let door = Relay::to(cluster.pods[0].public).await;
    let _viewer = Join::at(door.address, &stream).open().await;
    for direction in [Direction::ToServer, Direction::ToClient] {
        door.inject(direction, Fault::Stall);
    }
    let begun = Instant::now();
    eventually("it is gone", Duration::from_secs(36), async || {
        (cluster.pods[0].probe("/ready").await.json()["viewers"] == 0).then_some(())
    })
    .await;
    println!("a half-open viewer was gone after {:.1?}", begun.elapsed());
}

/// R14: with every shard down for 30 s a pod that has viewers uses less than a twentieth of a processor.
#[tokio::test(flavor = "multi_thread")]
async fn r14_with_all_shards_down_a_pod_is_idle() {
    let cluster = Cluster::start(1, 3, &[]).await;
    let mut viewers = Vec::new();
    for _ in 0..100 {
        viewers.push(Join::new(&cluster.pods[0], &stream_for("down")).open().await);
    }
    (0..3).for_each(|shard| cluster.redis(shard).crash());
    pause(Duration::from_secs(2)).await;
    let ticks = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", cluster.pods[0].pid)).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    };
    let (before, begun) = (ticks(), Instant::now());
    pause(Duration::from_secs(30)).await;
    let share = (ticks() - before) as f64 / 100.0 / begun.elapsed().as_secs_f64();
    println!("all shards down, 100 viewers: {:.1} % of a processor", share * 100.0);
    assert!(share < 0.05, "{share}");
    (0..3).for_each(|shard| cluster.redis(shard).restart());
    for shard in 0..3 {
        cluster.until_up(shard, true, HEALED).await;
    }
}
