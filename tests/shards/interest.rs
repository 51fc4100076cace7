//! A pod hears a stream only while somebody there watches it.

use std::{process::Command, time::Duration};

use serde_json::{Value, json};
use testkit::{Cluster, Join, PATIENCE, eventually, pause, stream_for};

fn channel(stream: &str) -> String {
    format!("ff:{{{stream}}}")
}

/// The numbers of the shards on which somebody hears the stream's channel.
fn heard_on(cluster: &Cluster, stream: &str) -> Vec<usize> {
    let hears =
        |number: &usize| !cluster.redis(*number).cli(&["PUBSUB", "CHANNELS", &channel(stream)]).is_empty();
    (0..3).filter(hears).collect()
}

/// The purpose: a stream's channel is subscribed to on its own shard only, from the first viewer until the
/// linger after the last, and the pods agree on which shard that is.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_heard_only_while_watched_and_on_its_own_shard() {
    let cluster = Cluster::start(2, 3, &[("FANFARE_LINGER", "300ms")]).await;
    let streams: Vec<_> = (0..12).map(|_| stream_for("interest")).collect();
    let mut owners = Vec::new();
    for stream in &streams {
        assert!(heard_on(&cluster, stream).is_empty(), "before anybody watches");
        let path = format!("/v1/streams/{stream}");
        let told = [cluster.pods[0].get(&path).await.json(), cluster.pods[1].get(&path).await.json()];
        assert_eq!(told[0]["shard"], told[1]["shard"], "the pods agree");
        let owner = cluster.owner(stream).await;
        let viewer = Join::new(&cluster.pods[0], stream).open().await;
        assert_eq!(heard_on(&cluster, stream), [owner]);
        drop(viewer);
        owners.push(owner);
    }
    owners.sort_unstable();
    owners.dedup();
    assert_eq!(owners, [0, 1, 2], "twelve streams are on all shards");
    eventually("nobody hears anything", PATIENCE, async || {
        streams.iter().all(|stream| heard_on(&cluster, stream).is_empty()).then_some(())
    })
    .await;
    eventually("and nothing is left behind", PATIENCE, async || {
        let ready = cluster.pods[0].probe("/ready").await.json();
        let none = |shard: &Value| shard["subscriptions"] == 0;
        (ready["streams"] == 0 && ready["shards"].as_object().unwrap().values().all(none)).then_some(())
    })
    .await;
}

/// G1 over pods: comments travel both ways, and all viewers have the same order.
#[tokio::test(flavor = "multi_thread")]
async fn g1_two_pods_have_one_order() {
    let (cluster, stream) = (Cluster::start(2, 3, &[]).await, stream_for("both"));
    let [here, there] = &cluster.pods[..] else { panic!("two pods") };
    let mut viewers = [Join::new(here, &stream).open().await, Join::new(there, &stream).open().await];
    let mut posters = [Join::new(here, &stream).open().await, Join::new(there, &stream).open().await];
    for round in 0..50 {
        let [a, b] = &mut posters;
        let (text_a, text_b) = (format!("a{round}"), format!("b{round}"));
        tokio::join!(a.say(&text_a), b.say(&text_b));
    }
    for viewer in &mut viewers {
        viewer.comments(100).await;
        viewer.assert_contiguous(1);
    }
    assert_eq!(viewers[0].seen, viewers[1].seen);
    assert_eq!(viewers[0].position, viewers[1].position, "a position means the same on every pod");
}

/// The waste that this server exists to avoid: a pod is sent nothing of a stream that it holds no viewer of.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_receives_nothing_of_what_nobody_watches_there() {
    let (cluster, stream) = (Cluster::start(2, 3, &[]).await, stream_for("quiet"));
    let [here, there] = &cluster.pods[..] else { panic!("two pods") };
    let mut viewer = Join::new(here, &stream).open().await;
    there.fill(&stream, 100, "").await;
    viewer.comments(100).await;
    let owner = Cluster::name(cluster.owner(&stream).await);
    let counts = async |pod: &testkit::Pod| {
        let ready = pod.probe("/ready").await.json();
        let shard = &ready["shards"][&owner];
        (shard["received"].clone(), shard["unwatched"].clone())
    };
    assert_eq!(counts(here).await, (json!(100), json!(0)));
    assert_eq!(counts(there).await, (json!(0), json!(0)));
}

/// A viewer who comes back within the linger costs no command, and one who comes later does.
#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_who_comes_back_within_the_linger_costs_nothing() {
    let (cluster, stream) = (Cluster::start(1, 1, &[("FANFARE_LINGER", "1s")]).await, stream_for("back"));
    let pod = &cluster.pods[0];
    let shard = async || pod.probe("/ready").await.json()["shards"]["a"].clone();
    drop(Join::new(pod, &stream).open().await);
    pod.deserted().await;
    assert_eq!(heard_on_first(&cluster, &stream), 1, "it lingers");
    let mut viewer = Join::new(pod, &stream).open().await;
    // Longer than the linger.
    pause(Duration::from_millis(1_500)).await;
    eventually("a hit", PATIENCE, async || (shard().await["linger_hits"] == 1).then_some(())).await;
    assert_eq!(shard().await["subscribe_churn"], 1);
    viewer.say("hi").await;
    viewer.comments(1).await;
    drop(viewer);
    eventually("the end", PATIENCE, async || (heard_on_first(&cluster, &stream) == 0).then_some(())).await;
    let mut viewer = Join::new(pod, &stream).open().await;
    viewer.comments(1).await;
    eventually("again", PATIENCE, async || (shard().await["subscribe_churn"] == 3).then_some(())).await;
}

fn heard_on_first(cluster: &Cluster, stream: &str) -> usize {
    let told = cluster.redis(0).cli(&["PUBSUB", "NUMSUB", &channel(stream)]);
    told.lines().last().unwrap().parse().unwrap()
}

/// Hearing what nobody watches is a switch of a test build, with which that is measured; the default build has no such
/// switch.
#[tokio::test(flavor = "multi_thread")]
async fn the_default_build_cannot_be_told_to_hear_everything() {
    let variable = "FANFARE_HEAR";
    assert!(program_holds("FANFARE_LINGER"), "settings are found in the program");
    assert!(!program_holds(variable), "the program knows {variable}");
    let stream = stream_for("unheard");
    let cluster = Cluster::start(1, 1, &[(variable, &stream)]).await;
    let pod = &cluster.pods[0];
    let viewer = Join::new(pod, &stream_for("watched")).open().await;
    pod.post(&stream, "nobody hears this").await;
    let shard = pod.probe("/ready").await.json()["shards"]["a"].clone();
    assert_eq!((&shard["subscribe_churn"], &shard["received"]), (&json!(1), &json!(0)), "{shard}");
    drop(viewer);
}

/// Whether the word stands in the program.
fn program_holds(word: &str) -> bool {
    let search = Command::new("grep").args(["-qaF", word, env!("CARGO_BIN_EXE_fanfare")]).status().unwrap();
    search.success()
}
