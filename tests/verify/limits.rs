//! A pod whose limits are those of real cgroups.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{Join, Pod, eventually, pause, post, stream_for};

use crate::group::Group;

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 96 * MIB;
/// About a mebibyte each, so that between two looks at the memory a twentieth of the limit is used at the most.
const BATCH_EVERY: Duration = Duration::from_millis(250);

/// Posts 500 long comments to a stream: the embedded shard keeps them.
async fn fill(pod: &Pod, number: usize) {
    let body = "\u{1f600}".repeat(490);
    let line = json!({"stream": stream_for(&format!("m{number}")), "kind": "comment", "body": body});
    let answer = post(pod.public, "/v1/comments", &json!({"comments": vec![line; 500]})).await;
    assert_eq!(answer.status, 207);
}

/// Above 80 % of the limit nobody new is taken, before the kernel kills anybody; who is there stays and is served; with
/// room again, all are taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_near_its_limit_of_memory_takes_nobody_new() {
    let group = Group::of_memory("memory", LIMIT);
    let pod = Pod::start_after(&group.script(), &[]);
    let stream = stream_for("memory");
    let mut stays = Join::new(&pod, &stream).open().await;
    let empty = pod.ready().await["memory"].as_f64().expect("a limit of memory");
    assert!(empty < 0.5, "{empty}");
    let mut number = 0;
    let full = loop {
        let answer = pod.probe("/ready").await;
        if answer.status == 503 {
            break answer.json();
        }
        assert!(number < 200, "{answer:?}");
        fill(&pod, number).await;
        number += 1;
        pause(BATCH_EVERY).await;
    };
    println!(
        "memory: {empty} of 96 MiB empty, {} after {number} MiB of posts: {}",
        full["memory"], full["reasons"]
    );
    assert_eq!(full["reasons"], json!(["memory"]));
    assert!(full["memory"].as_f64().is_some_and(|share| (0.80..0.95).contains(&share)), "{full}");
    for _ in 0..10 {
        let refusal = Join::new(&pod, &stream).attempt().await.err().flatten().expect("a refusal");
        assert!(refusal.status == 503 && refusal.retry_after_s.is_some_and(|wait| (5..=15).contains(&wait)));
    }
    stays.say("still here").await;
    stays.comments(1).await;
    assert_eq!(pod.probe("/live").await.status, 200);
    group.limit_memory(2 * LIMIT);
    eventually("room again", Duration::from_secs(20), async || {
        pause(BATCH_EVERY).await;
        (pod.probe("/ready").await.status == 200).then_some(())
    })
    .await;
    Join::new(&pod, &stream).open().await;
}

/// A quota that changes while the pod runs is its quota from then on, and `/ready` shows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_changes_while_the_pod_runs_is_followed() {
    let group = Group::of_cpu("changes", 30);
    let pod = Pod::start_after(&group.script(), &[]);
    for (hundredths, quota) in [(30, 0.3), (75, 0.75), (20, 0.2)] {
        group.limit_cpu(hundredths);
        let shown = eventually("the quota is shown", Duration::from_secs(20), async || {
            pause(BATCH_EVERY).await;
            let ready = pod.probe("/ready").await.json();
            (ready["quota"] == quota).then_some(ready)
        })
        .await;
        assert_eq!(shown["quota_source"], "cgroup1", "{shown}");
    }
}

/// P9: every thread but the one that answers probes stands still; after 10 s `/live` and `/ready` say so, and nothing is
/// lost when they go on.
#[tokio::test(flavor = "multi_thread")]
async fn p9_a_pod_whose_workers_stand_still_says_so_and_goes_on() {
    let (group, pod, stream) = (Group::of_frozen("still"), Pod::start(&[]), stream_for("still"));
    let mut viewer = Join::new(&pod, &stream).open().await;
    viewer.say("before").await;
    for thread in fs::read_dir(format!("/proc/{}/task", pod.pid)).unwrap().map(Result::unwrap) {
        if fs::read_to_string(thread.path().join("comm")).unwrap().trim() != "ops" {
            group.take_thread(&thread.file_name().to_string_lossy());
        }
    }
    group.freeze();
    let began = Instant::now();
    eventually("the pod is not live", Duration::from_secs(20), async || {
        (pod.probe("/live").await.status == 503).then_some(())
    })
    .await;
    let took = began.elapsed();
    assert!(took > Duration::from_secs(8), "not at once: {took:?}");
    let ready = pod.probe("/ready").await;
    assert_eq!((ready.status, &ready.json()["reasons"]), (503, &json!(["workers"])));
    group.thaw();
    eventually("the pod is ready", Duration::from_secs(5), async || {
        (pod.probe("/ready").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(pod.probe("/live").await.status, 200);
    viewer.say("after").await;
    viewer.comments(2).await;
    println!("workers that stand still: told after {took:.1?}");
}
