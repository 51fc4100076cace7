//! The measures mean what they say.

use std::num::NonZeroUsize;

use futures_util::future::join_all;
use serde_json::json;
use testkit::{Join, PATIENCE, Pod, Viewer, eventually, post, stream_for};

use super::Scrape;

/// Comments in frames that are not history.
fn live(viewer: &Viewer) -> usize {
    let frames = viewer.all("comments").filter(|frame| frame["history"] != true);
    frames.map(|frame| frame["comments"].as_array().unwrap().len()).sum()
}

fn skipped(viewer: &Viewer) -> u64 {
    viewer.all("skipped").map(|frame| frame["count"].as_u64().unwrap()).sum()
}

/// `fanfare.deliveries`: within and late together are what viewers received, history not among it; skipped is what
/// they were told that they missed.
#[tokio::test]
async fn deliveries_are_exactly_what_viewers_received() {
    let (pod, stream) = (Pod::start(&[]), stream_for("deliveries"));
    pod.fill(&stream, 30, " before anybody came").await;
    let mut slow = Join::new(&pod, &stream).short_of_buffer().open().await;
    let mut viewers = Vec::new();
    for _ in 0..3 {
        viewers.push(Join::new(&pod, &stream).open().await);
    }
    // More than the tape and the slow viewer's buffers hold.
    let newest = 30 + 3_000;
    let reading = join_all(viewers.iter_mut().map(|viewer| until(viewer, newest)));
    let tail = "x".repeat(480);
    tokio::join!(reading, pod.fill(&stream, 3_000, &tail));
    until(&mut slow, newest).await;
    viewers.push(Join::new(&pod, &stream).open().await);
    pod.post(&stream, "to all").await;
    for viewer in viewers.iter_mut().chain([&mut slow]) {
        until(viewer, newest + 1).await;
    }
    let all = || viewers.iter().chain([&slow]);
    let (received, missed) = (all().map(live).sum::<usize>(), all().map(skipped).sum::<u64>());
    assert!(received > 3 * 3_000 && missed > 0, "{received} received, {missed} missed");
    let counted = eventually("the counts", PATIENCE, async || {
        let scrape = Scrape::of(&pod).await;
        let of = |slo| scrape.sum("fanfare_deliveries_total", &[slo]);
        let counted = (of("slo=\"within\"") + of("slo=\"late\""), of("slo=\"skipped\""));
        (counted.0 >= received as f64).then_some(counted)
    });
    assert_eq!(counted.await, (received as f64, missed as f64));
    let scrape = Scrape::of(&pod).await;
    assert_eq!(scrape.sum("fanfare_skips_total", &[]), missed as f64);
    assert_eq!(scrape.sum("fanfare_joins_total", &["outcome=\"joined\""]), 5.0);
    assert_eq!(scrape.sum("fanfare_join_duration_seconds_count", &["source=\"tape\""]), 5.0);
    assert_eq!(scrape.sum("fanfare_viewers", &[]), 5.0);
}

async fn until(viewer: &mut Viewer, seq: u64) {
    viewer.until("the newest", |viewer| viewer.seqs().last() == Some(&seq)).await;
}

/// `fanfare.delivery.duration` has one value for each message and lane with a prompt seat, gifts apart from comments.
#[tokio::test]
async fn the_histogram_has_a_value_for_each_message_and_lane_with_a_prompt_seat() {
    let (pod, stream) = (Pod::start(&[]), stream_for("lanes"));
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let count = |scrape: &Scrape, priority: bool| {
        let label = format!("priority=\"{priority}\"");
        scrape.sum("fanfare_delivery_duration_seconds_count", &[&label])
    };
    let comments = format!("/v1/streams/{stream}/comments");
    let gift = json!({"kind": "gift", "data": {"item": "rose"}});
    let mut viewers = Vec::new();
    let mut expected = 0;
    // Seats go to the lanes in turn.
    for seats in 1..=workers + 1 {
        viewers.push(Join::new(&pod, &stream).open().await);
        // What comes right behind the join is the viewer's own task's.
        pod.post(&stream, "settles").await;
        for viewer in &mut viewers {
            viewer.ping().await;
        }
        let lanes = seats.min(workers) as f64;
        // A lane counts in order: once it has counted this gift, it has counted what came before.
        let gifts = count(&Scrape::of(&pod).await, true);
        post(pod.public, &comments, &gift).await;
        eventually("each lane has counted what settles", PATIENCE, async || {
            (count(&Scrape::of(&pod).await, true) == gifts + lanes).then_some(())
        })
        .await;
        let before = Scrape::of(&pod).await;
        for number in 0..10 {
            pod.post(&stream, &format!("comment {number}")).await;
        }
        post(pod.public, &comments, &gift).await;
        expected += 13;
        for viewer in &mut viewers {
            viewer.until("all of them", |viewer| viewer.seqs().last() == Some(&expected)).await;
        }
        let grew = |scrape: &Scrape, priority| count(scrape, priority) - count(&before, priority);
        eventually("both counts", PATIENCE, async || {
            let scrape = Scrape::of(&pod).await;
            let grown = (grew(&scrape, false), grew(&scrape, true));
            assert!(grown.0 <= 10.0 * lanes && grown.1 <= lanes, "{grown:?} with {lanes} lanes");
            (grown == (10.0 * lanes, lanes)).then_some(())
        })
        .await;
    }
    let scrape = Scrape::of(&pod).await;
    let mean = scrape.mean("fanfare_delivery_duration_seconds", &[]);
    assert!(mean > 0.0 && mean < 5.0, "{mean} s");
    assert!(scrape.mean("fanfare_delivery_stage_duration_seconds", &["stage=\"fanout\""]) <= mean);
}

/// Every post has one outcome, and what was refused was never sent to a shard.
#[tokio::test]
async fn every_post_has_one_outcome() {
    let (pod, stream) = (Pod::start(&[]), stream_for("outcomes"));
    let mut viewer = Join::new(&pod, &stream).open().await;
    viewer.say("one").await;
    viewer.post(json!({"body": "two", "id": "a"})).await;
    viewer.post(json!({"body": "two", "id": "a"})).await;
    assert_eq!(viewer.post(json!({"body": " "})).await["type"], "error");
    let scrape = Scrape::of(&pod).await;
    let posts = ["acked", "duplicate", "refused", "unknown"]
        .map(|outcome| scrape.sum("fanfare_posts_total", &[&format!("outcome=\"{outcome}\"")]));
    assert_eq!(posts, [2.0, 1.0, 1.0, 0.0]);
    let commits = scrape.sum("fanfare_delivery_stage_duration_seconds_count", &["stage=\"commit\""]);
    assert_eq!(commits, 3.0);
}

/// Prometheus' own tool finds nothing to say about the names, types and help texts.
#[tokio::test]
async fn prometheus_own_tool_accepts_the_metrics() {
    let pod = Pod::start(&[]);
    let _viewer = Join::new(&pod, &stream_for("promtool")).open().await;
    let scrape = Scrape::of(&pod).await;
    scrape.is_accepted_by_promtool();
}

/// No series belongs to a stream: 100,000 of them change nothing.
#[tokio::test]
async fn the_number_of_series_does_not_grow_with_streams() {
    let pod = Pod::start(&[]);
    let (mut one, two) = (Join::new(&pod, "one").open().await, Join::new(&pod, "two").open().await);
    // What comes while a viewer is still joining, on a busy machine, is shown as history and measured by nobody.
    eventually("a delivery is measured", PATIENCE, async || {
        pod.post("one", "hi").await;
        one.comments(one.seen.len() + 1).await;
        let fanout = ["stage=\"fanout\""];
        let measured = Scrape::of(&pod).await.sum("fanfare_delivery_stage_duration_seconds_count", &fanout);
        (measured >= 1.0).then_some(())
    })
    .await;
    // Nobody stays, who would be closed for a pong that this test does not send.
    drop((one, two));
    // What is measured for the first time has its series then, and so has the end of a viewer.
    let before = eventually("both ends are measured", PATIENCE, async || {
        let scrape = Scrape::of(&pod).await;
        scrape.has("fanfare_closes_total", 2.0).then_some(scrape)
    })
    .await;
    for thousand in 0..100 {
        for half in 0..2 {
            let line = |number| json!({"stream": format!("s{thousand}-{half}-{number}"), "kind": "follow"});
            let comments: Vec<_> = (0..500).map(line).collect();
            let answer = post(pod.public, "/v1/comments", &json!({"comments": comments})).await;
            assert_eq!(answer.status, 207);
        }
    }
    let after = Scrape::of(&pod).await;
    assert!(after.sum("fanfare_posts_total", &["outcome=\"acked\""]) >= 100_001.0);
    assert_eq!(after.not_in(&before), [""; 0]);
    assert_eq!(after.series(), before.series());
    assert!(after.text.len() < 100_000, "{} bytes", after.text.len());
}
