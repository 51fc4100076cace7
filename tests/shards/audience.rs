//! How many watch, over all pods.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::{Cluster, HEALED, Join, PATIENCE, Pod, Signal, Viewer, eventually, pause, stream_for};

/// How long the viewers of a pod that died may be counted: a lease of 12 s, which
/// `a_silent_pod_is_taken_out_in_parts_and_the_others_are_told` holds, and rounds of 2 s; here far more.
const GONE: Duration = PATIENCE;

async fn attributes(pod: &Pod, stream: &str) -> Value {
    let answer = pod.get(&format!("/v1/streams/{stream}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Waits until a pod says that so many watch.
async fn has(pod: &Pod, stream: &str, viewers: u64, within: Duration) {
    eventually(&format!("{viewers} viewers"), within, async || {
        (attributes(pod, stream).await["viewers"] == viewers).then_some(())
    })
    .await;
}

/// What a viewer was told last.
fn told(viewer: &Viewer) -> u64 {
    let newest = viewer.log.iter().rev().find_map(|frame| frame.json["viewers"].as_u64());
    newest.expect("a number of viewers")
}

/// Reads until a viewer is told that so many watch.
async fn is_told(viewer: &mut Viewer, viewers: u64) {
    viewer.until(&format!("{viewers} viewers"), |viewer| told(viewer) == viewers).await;
}

/// Viewers that answer pings while time passes.
async fn answer_for(time: Duration, some: &mut [&mut Viewer], others: &mut [Viewer]) {
    let end = tokio::time::Instant::now() + time;
    while tokio::time::Instant::now() < end {
        for viewer in some.iter_mut().map(|viewer| &mut **viewer).chain(others.iter_mut()) {
            viewer.ping().await;
        }
        pause(Duration::from_secs(2)).await;
    }
}

async fn crowd(pod: &Pod, stream: &str, names: &[&str]) -> Vec<Viewer> {
    join_all(names.iter().map(|name| async { Join::new(pod, stream).named(name).open().await })).await
}

/// G15: `hello`, `viewers` frames and attributes are of all pods; the most at once and the users stay.
#[tokio::test(flavor = "multi_thread")]
async fn viewers_are_counted_over_all_pods() {
    let (cluster, stream) = (Cluster::start(3, 2, &[]).await, stream_for("audience"));
    let [one, two, three] = &cluster.pods[..] else { panic!("three pods") };
    let mut here = crowd(one, &stream, &["ann", "bob", "cid"]).await;
    has(two, &stream, 3, PATIENCE).await;
    let mut there = crowd(two, &stream, &["dan", "ann"]).await;
    assert_eq!(
        there[0].hello()["viewers"].as_u64().map(|viewers| viewers >= 4),
        Some(true),
        "others and itself"
    );
    for viewer in here.iter_mut().chain(&mut there) {
        is_told(viewer, 5).await;
    }
    eventually("all is counted", PATIENCE, async || {
        let all = attributes(three, &stream).await;
        let counts = ["viewers", "peak_viewers", "unique_viewers"].map(|name| all[name].as_u64());
        (counts == [Some(5), Some(5), Some(4)]).then_some(())
    })
    .await;
    drop(here);
    is_told(&mut there[1], 2).await;
    has(three, &stream, 2, PATIENCE).await;
    let all = attributes(three, &stream).await;
    assert_eq!((&all["peak_viewers"], &all["unique_viewers"]), (&json!(5), &json!(4)));
}

/// G15: the viewers of a pod that was killed are gone after a while (`make verify` has the 20 s); those of one that takes
/// its leave, at once.
#[tokio::test(flavor = "multi_thread")]
async fn g15_a_killed_pods_viewers_are_gone() {
    let (cluster, stream) = (Cluster::start(3, 1, &[]).await, stream_for("killed"));
    let [one, two, three] = &cluster.pods[..] else { panic!("three pods") };
    let _killed = crowd(one, &stream, &["ann", "bob", "cid"]).await;
    let mut left = crowd(two, &stream, &["dan"]).await.remove(0);
    let mut leaving = crowd(three, &stream, &["eve"]).await.remove(0);
    is_told(&mut left, 5).await;
    three.signal(Signal::Term);
    leaving.until_closed().await;
    has(two, &stream, 4, PATIENCE).await;
    let killed = tokio::time::Instant::now();
    one.signal(Signal::Kill);
    tokio::time::timeout(GONE, is_told(&mut left, 1)).await.expect("they are gone");
    assert!(killed.elapsed() > Duration::from_secs(5), "not at once: a pod may be slow for a while");
    assert_eq!(attributes(two, &stream).await["viewers"], 1);
    let keys = cluster.redis(0).cli(&["KEYS", "ff:audience*"]);
    assert_eq!(keys.lines().count(), 2, "the dead leave nothing: {keys}");
}

/// Symptom: after a pod's crash `peak_viewers` was 20 with 10 real viewers, and stayed there. Cause: the viewers came back
/// on another pod while the crashed pod's lease still counted them, and each total raised the peak at once (G15).
#[tokio::test(flavor = "multi_thread")]
async fn g15_viewers_that_come_back_after_a_crash_do_not_raise_the_peak() {
    let (cluster, stream) = (Cluster::start(2, 1, &[]).await, stream_for("crashed"));
    let [one, two] = &cluster.pods[..] else { panic!("two pods") };
    let names: Vec<_> = (0..10).map(|number| format!("viewer-{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let _before = crowd(one, &stream, &names).await;
    let peak = async || attributes(two, &stream).await["peak_viewers"].as_u64().unwrap();
    eventually("a peak of 10", PATIENCE, async || (peak().await == 10).then_some(())).await;
    one.signal(Signal::Kill);
    let mut back = crowd(two, &stream, &names).await;
    has(two, &stream, 20, PATIENCE).await;
    assert_eq!(peak().await, 10, "the crashed pod still counts");
    tokio::time::timeout(GONE, is_told(&mut back[0], 10)).await.expect("they are gone");
    assert_eq!(peak().await, 10, "the crashed pod is gone");
    let _more = crowd(two, &stream, &["eve", "fay"]).await;
    eventually("a peak of 12", PATIENCE, async || {
        let pending = cluster.redis(0).cli(&["EXISTS", "ff:peaks"]);
        (pending == "0" && peak().await == 12).then_some(())
    })
    .await;
}

/// G15: a pod that was stopped for longer is not counted, and is again once it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn g15_a_stopped_pod_is_not_counted_until_it_goes_on() {
    let (cluster, stream) = (Cluster::start(2, 1, &[]).await, stream_for("stopped"));
    let [one, two] = &cluster.pods[..] else { panic!("two pods") };
    let mut stopped = crowd(one, &stream, &["ann", "bob"]).await;
    let mut watching = crowd(two, &stream, &["cid"]).await.remove(0);
    is_told(&mut watching, 3).await;
    one.signal(Signal::Stop);
    tokio::time::timeout(GONE, is_told(&mut watching, 1)).await.expect("they are gone");
    one.signal(Signal::Cont);
    is_told(&mut watching, 3).await;
    is_told(&mut stopped[0], 3).await;
    has(one, &stream, 3, PATIENCE).await;
    assert_eq!(attributes(two, &stream).await["unique_viewers"], 3, "nobody is counted twice");
}

/// G15: while the shard is away the number of other pods is the last known, and this pod's own is right; a shard that
/// comes back empty is told everything.
#[tokio::test(flavor = "multi_thread")]
async fn g15_without_the_shard_the_last_number_stays_and_a_wiped_one_learns_it_again() {
    let (cluster, stream) = (Cluster::start(2, 1, &[]).await, stream_for("away"));
    let [one, two] = &cluster.pods[..] else { panic!("two pods") };
    let mut here = crowd(one, &stream, &["ann"]).await.remove(0);
    let mut there = crowd(two, &stream, &["bob", "cid"]).await;
    is_told(&mut here, 3).await;
    cluster.redis(0).crash();
    let mut late = Join::new(one, &stream).named("dan").open().await;
    assert_eq!(late.hello()["viewers"], 4, "the others' last number, and those here");
    is_told(&mut here, 4).await;
    one.get(&format!("/v1/streams/{stream}")).await.assert_problem(503, "shard_unavailable");
    // Longer than a pod counts that says nothing.
    answer_for(Duration::from_secs(14), &mut [&mut here, &mut late], &mut there).await;
    cluster.redis(0).restart();
    // The longest pause between connections, and the time in which others come back.
    answer_for(Duration::from_secs(14), &mut [&mut here, &mut late], &mut there).await;
    cluster.until_up(0, true, HEALED).await;
    has(two, &stream, 4, PATIENCE).await;
    late.ping().await;
    let numbers: Vec<_> = late.all("viewers").map(|frame| frame["viewers"].as_u64().unwrap()).collect();
    assert!(numbers.iter().all(|viewers| *viewers >= 3), "no dip: {numbers:?}");
    drop(there);
    is_told(&mut late, 2).await;
    cluster.redis(0).cli(&["FLUSHALL"]);
    has(two, &stream, 2, PATIENCE).await;
    assert_eq!(told(&late), 2);
}

/// README "REST": on the embedded shard the same numbers.
#[tokio::test]
async fn a_pod_without_redis_counts_as_well() {
    let (pod, stream) = (Pod::start(&[]), stream_for("alone"));
    let mut viewers = crowd(&pod, &stream, &["ann", "bob", "ann"]).await;
    is_told(&mut viewers[0], 3).await;
    let counted = async |expected: [u64; 3]| {
        eventually("counts", PATIENCE, async || {
            let all = attributes(&pod, &stream).await;
            let counts =
                ["viewers", "peak_viewers", "unique_viewers"].map(|name| all[name].as_u64().unwrap());
            (counts == expected).then_some(())
        })
        .await;
    };
    counted([3, 3, 2]).await;
    viewers.truncate(1);
    counted([1, 3, 2]).await;
    is_told(&mut viewers[0], 1).await;
}
