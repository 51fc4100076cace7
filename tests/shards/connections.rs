//! Connections to a Redis that are cut or denied, and pods that die.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{
    Cluster, HEALED, Join, RedisServer, Signal,
    checker::{Drill, Ledger, Outcome, Posted, Watch},
    eventually, pause, post, stream_for,
};

/// R8, G2, G5: subscribers that are killed again and again lose nothing, and nobody is told anything.
#[tokio::test(flavor = "multi_thread")]
async fn r8_a_loop_of_client_kill_loses_nothing() {
    let cluster = Cluster::start(2, 2, &[]).await;
    let streams: Vec<_> = (0..4).map(|_| stream_for("kills")).collect();
    let drill = Drill { pods: &cluster.pods, streams: &streams, viewers: 1, posts_per_second: 100 };
    let ledger = drill
        .run(async {
            for round in 0..25 {
                pause(Duration::from_millis(200)).await;
                cluster.redis(round % 2).cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            }
            cluster.healed().await;
        })
        .await;
    ledger.assert_nothing_lost();
    let repaired = cluster.status(0, 0).await["filled"].as_u64().unwrap();
    println!("holes of the first shard that a pod filled: {repaired}");
}

/// P1, G5: a pod is killed, and its viewers go on at the other without loss.
#[tokio::test(flavor = "multi_thread")]
async fn p1_viewers_of_a_killed_pod_go_on_at_another() {
    let cluster = Cluster::start(2, 2, &[]).await;
    let streams: Vec<_> = (0..4).map(|_| stream_for("podkill")).collect();
    let drill = Drill { pods: &cluster.pods, streams: &streams, viewers: 5, posts_per_second: 100 };
    let ledger = drill
        .run(async {
            pause(Duration::from_secs(1)).await;
            cluster.pods[0].signal(Signal::Kill);
            pause(Duration::from_secs(2)).await;
        })
        .await;
    ledger.assert_nothing_lost();
    assert_eq!(ledger.watches.len(), 40);
}

/// R7: a Redis that cuts a subscriber whose output buffer is full: the pod, which was stopped, reads what it missed.
#[tokio::test(flavor = "multi_thread")]
async fn r7_a_subscriber_that_is_cut_for_its_full_buffer_loses_nothing() {
    const BATCH: usize = 250;
    let cluster = Cluster::start(2, 1, &[("FANFARE_HISTORY_COMMENTS", "10000")]).await;
    let (stream, [stopped, other]) = (stream_for("buffer"), &cluster.pods[..]) else { panic!("two pods") };
    cluster.redis(0).cli(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 500000 0 0"]);
    let mut viewer = Join::new(stopped, &stream).open().await;
    let subscribers = || cluster.redis(0).cli(&["CLIENT", "LIST", "TYPE", "pubsub"]).lines().count();
    assert_eq!(subscribers(), 2);
    stopped.signal(Signal::Stop);
    let (mut posts, mut comments) = (Vec::new(), 0);
    while subscribers() == 2 {
        assert!(comments < 10_000, "never cut");
        posts.extend(batch(other, &stream, comments, BATCH).await);
        comments += BATCH;
    }
    stopped.signal(Signal::Cont);
    posts.extend(batch(other, &stream, comments, 1).await);
    let newest = u64::try_from(comments).unwrap() + 1;
    viewer.until("the newest", |viewer| viewer.seqs().last() == Some(&newest)).await;
    let frames: Vec<_> = viewer.log.into_iter().map(|frame| frame.json).collect();
    let watches = vec![Watch::of(&stream, &frames)];
    Ledger { posts, watches, ..Ledger::default() }.assert_kept();
}

/// Posts a batch of comments of about 4 KB; those that a busy shard does not take at once are posted again.
pub(super) async fn batch(pod: &testkit::Pod, stream: &str, from: usize, count: usize) -> Vec<Posted> {
    let text = |number: usize| format!("{number}{}", "x".repeat(450));
    let one = |number: &usize| {
        let (id, data) = (format!("batch-{number}"), json!({"d": "y".repeat(2_000)}));
        json!({"stream": stream, "id": id, "kind": "comment", "body": text(*number), "data": data})
    };
    let (mut open, mut posted): (Vec<_>, Vec<_>) = ((from..from + count).collect(), Vec::new());
    while !open.is_empty() {
        let sent = Instant::now();
        let comments: Vec<_> = open.iter().map(one).collect();
        let answer = post(pod.public, "/v1/comments", &json!({"comments": comments})).await;
        assert_eq!(answer.status, 207, "{answer:?}");
        let (answered, answer) = (Instant::now(), answer.json());
        let mut late = Vec::new();
        for (number, result) in open.into_iter().zip(answer["results"].as_array().unwrap()) {
            let is_late = result["status"] == 503;
            let outcome = if is_late {
                late.push(number);
                Outcome::Unknown
            } else {
                let (id, seq) = (result["id"].as_str().unwrap().to_owned(), result["seq"].as_u64().unwrap());
                Outcome::Acked { id, seq, duplicate: result["duplicate"] == true }
            };
            posted.push(Posted { stream: stream.to_owned(), body: text(number), sent, answered, outcome });
        }
        open = late;
    }
    posted
}

/// R11: a Redis that denies SUBSCRIBE: who comes is told, and is greeted once it allows it; other shards are fine.
#[tokio::test(flavor = "multi_thread")]
async fn r11_a_redis_that_denies_subscribe_is_told_and_heals() {
    let servers = vec![RedisServer::start(), RedisServer::start()];
    servers[0].cli(&["ACL", "SETUSER", "fanfare", "on", ">secret", "~*", "&*", "+@all"]);
    let list = format!("a={},b={}", servers[0].url_of("fanfare", "secret"), servers[1].url());
    let cluster = Cluster::with_list(&list, servers, 1, &[]);
    cluster.healed().await;
    let here = cluster.streams_of(0, "denied", 2).await;
    let elsewhere = cluster.streams_of(1, "denied", 1).await;
    let pod = &cluster.pods[0];
    let mut early = Join::new(pod, &here[0]).open().await;
    cluster.redis(0).cli(&["ACL", "SETUSER", "fanfare", "-subscribe"]);
    let mut late = Join::new(pod, &here[1]).connect().await.unwrap();
    late.until("an error", |viewer| viewer.has("error")).await;
    assert_eq!(late.log[0].json["code"], "shard_unavailable", "first, before hello");
    let mut other = Join::new(pod, &elsewhere[0]).open().await;
    other.say("fine").await;
    other.comments(1).await;
    pause(Duration::from_secs(2)).await;
    cluster.redis(0).cli(&["ACL", "SETUSER", "fanfare", "+subscribe"]);
    late.until("hello", |viewer| viewer.has("hello")).await;
    assert_eq!(late.all("error").count(), 1, "told once");
    for viewer in [&mut early, &mut late] {
        viewer.say("hi").await;
        viewer.comments(1).await;
        viewer.assert_contiguous(1);
    }
    eventually("the shard is up", HEALED, async || (cluster.status(0, 0).await["up"] == true).then_some(()))
        .await;
}
