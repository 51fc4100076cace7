//! Viewers that are slow, that come back all at once, or that wait for a history that does not come.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use testkit::{
    Cluster, Direction, Fault, Join, PATIENCE, RedisServer, Relay,
    checker::{Ledger, Watch},
    pause, stream_for,
};

use super::connections::batch;

/// V2, G8: a viewer that reads 1 kB/s is told what it misses, or closed; others have everything at once, and when it is
/// quick again it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn v2_a_viewer_that_reads_a_kilobyte_a_second_is_told_what_it_misses() {
    const BATCH: usize = 250;
    let cluster = Cluster::start(1, 1, &[("FANFARE_HISTORY_COMMENTS", "10000")]).await;
    let (pod, stream) = (&cluster.pods[0], stream_for("trickle"));
    let door = Relay::to(pod.public).await;
    let mut slow = Join::at(door.address, &stream).short_of_buffer().open().await;
    let mut quick = Join::new(pod, &stream).open().await;
    door.inject(Direction::ToClient, Fault::Rate(1_000));
    let mut posts = Vec::new();
    for from in (0..6 * BATCH).step_by(BATCH) {
        let more = batch(pod, &stream, from, BATCH);
        let (more, ()) = tokio::join!(more, quick.comments(from + BATCH));
        posts.extend(more);
        quick.assert_contiguous(1);
    }
    door.clear();
    let newest = u64::try_from(6 * BATCH).unwrap();
    let (mut frames, mut closed) = (Vec::new(), false);
    while slow.seqs().last() != Some(&newest) {
        if !slow.read().await {
            closed = true;
            // The close frame comes if the path lets it.
            assert!(matches!(slow.closed, Some(None | Some(3008))), "{:?}", slow.closed);
            pod.logged(&["\"code\":3008"], PATIENCE).await;
            let again = Join::at(door.address, &stream).after(&slow.position).open().await;
            frames.extend(std::mem::replace(&mut slow, again).take_frames());
        }
    }
    frames.extend(slow.take_frames());
    let watches = vec![Watch::of(&stream, &frames)];
    assert!(watches[0].holes() > 0 || closed, "it kept up");
    Ledger { posts, watches, ..Ledger::default() }.assert_kept();
}

/// P6: everybody is cut at one moment and comes back: each has what it missed, and the shard is asked once a stream or
/// two, not once a viewer.
#[tokio::test(flavor = "multi_thread")]
async fn p6_a_storm_of_viewers_that_come_back_costs_a_read_a_stream() {
    const VIEWERS: usize = 200;
    let cluster = Cluster::start(1, 1, &[]).await;
    let (pod, stream) = (&cluster.pods[0], stream_for("storm"));
    let door = Relay::to(pod.public).await;
    let join = Join::at(door.address, &stream);
    let viewers = join_all((0..VIEWERS).map(|_| join.open())).await;
    let place = viewers[0].position.clone();
    door.cut();
    drop(viewers);
    pod.fill(&stream, 400, "").await;
    let calls = || -> u64 {
        let stats = cluster.redis(0).cli(&["INFO", "commandstats"]);
        let line = stats.lines().find(|line| line.starts_with("cmdstat_fcall:")).unwrap();
        line.split(['=', ',']).nth(1).unwrap().parse().unwrap()
    };
    let (begun, before) = (Instant::now(), calls());
    let back = join.after(&place);
    let mut viewers = join_all((0..VIEWERS).map(|_| back.open())).await;
    for viewer in &mut viewers {
        viewer.comments(400).await;
        viewer.assert_contiguous(1);
    }
    // The pod's own are among them, at most five a second, however long a busy machine makes this take.
    let (asked, own) = (calls() - before, 5 * (begun.elapsed().as_secs() + 1));
    assert!(
        asked < VIEWERS as u64 / 4 + own,
        "{asked} calls for {VIEWERS} viewers of one stream, {own} its own"
    );
}

/// S4: the subscription is there and the history does not come: who joins is told, keeps its socket, and is greeted when
/// it does come; what is posted later is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn s4_a_history_that_hangs_during_a_join_is_told_and_waited_for() {
    let servers = vec![RedisServer::durable()];
    let cluster = Cluster::on(servers, 2, &[]);
    cluster.healed().await;
    let stream = stream_for("hangs");
    cluster.pods[0].post(&stream, "before").await;
    // SUBSCRIBE is none, and reading the history is one, because it keeps the history alive.
    cluster.redis(0).cli(&["CLIENT", "PAUSE", "4000", "WRITE"]);
    let mut viewer = Join::new(&cluster.pods[0], &stream).connect().await.unwrap();
    viewer.until("an error", |viewer| viewer.has("error")).await;
    assert_eq!(viewer.log[0].json["code"], "shard_unavailable");
    let granted = cluster.redis(0).cli(&["PUBSUB", "CHANNELS", &format!("ff:{{{stream}}}")]);
    assert!(!granted.is_empty(), "it is subscribed to");
    viewer.until("hello", |viewer| viewer.has("hello")).await;
    pause(Duration::from_millis(500)).await;
    cluster.pods[1].post(&stream, "after").await;
    viewer.comments(2).await;
    viewer.assert_contiguous(1);
}

/// V4: a path that loses packets is, above TCP, one that stutters: nothing is lost, and nobody is told anything.
#[tokio::test(flavor = "multi_thread")]
async fn v4_a_path_that_stutters_loses_nothing() {
    let (cluster, stream) = (Cluster::start(1, 1, &[]).await, stream_for("stutter"));
    let pod = &cluster.pods[0];
    let door = Relay::to(pod.public).await;
    let mut viewer = Join::at(door.address, &stream).open().await;
    for round in 0..40 {
        let fault = if round % 2 == 0 { Fault::Stall } else { Fault::None };
        door.inject(Direction::ToClient, fault);
        door.inject(Direction::ToServer, if round % 3 == 0 { Fault::Stall } else { Fault::None });
        pod.fill(&stream, 5, "").await;
        pause(Duration::from_millis(30)).await;
    }
    door.clear();
    viewer.comments(200).await;
    viewer.assert_contiguous(1);
}

/// V5, G5: a connection that is cut at any byte, within headers, frames and characters, is resumed without a hole or a
/// repetition.
#[tokio::test(flavor = "multi_thread")]
async fn v5_a_connection_that_is_cut_at_any_byte_is_resumed() {
    let (cluster, stream) = (Cluster::start(1, 1, &[]).await, stream_for("bytes"));
    let pod = &cluster.pods[0];
    pod.fill(&stream, 100, " ünï💬").await;
    let door = Relay::to(pod.public).await;
    let (mut frames, mut place) = (Vec::new(), None::<String>);
    // Some handshakes end within, and bring nothing.
    for bytes in (0..60).map(|round| 150 + 97 * round) {
        door.inject(Direction::ToClient, Fault::CutAfter(bytes));
        let join = Join::at(door.address, &stream);
        let join = if let Some(place) = &place { join.after(place) } else { join };
        if let Some(mut viewer) = join.connect().await {
            while viewer.read().await {}
            // The place of `hello` is for those who have none.
            let of_order = |frame: &serde_json::Value| frame["type"] == "comments";
            let read = viewer.take_frames();
            let newest =
                read.iter().rfind(|frame| of_order(frame)).or(read.first().filter(|_| place.is_none()));
            place = newest.and_then(|frame| frame["position"].as_str().map(str::to_owned)).or(place);
            frames.extend(read);
        }
        pod.fill(&stream, 2, " ünï💬").await;
    }
    door.clear();
    let mut viewer = Join::at(door.address, &stream).after(&place.expect("a place")).open().await;
    viewer.until("the newest", |viewer| viewer.seqs().last() == Some(&220)).await;
    frames.extend(viewer.take_frames());
    let watch = Watch::of(&stream, &frames);
    let seqs: Vec<_> = watch.comments().map(|(at, ..)| at.seq).collect();
    let expected: Vec<_> = (seqs[0]..=220).collect();
    assert_eq!((seqs, watch.resets(), watch.holes()), (expected, 0, 0));
}
