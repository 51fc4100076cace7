//! Viewers that are slower than their stream.

use std::time::{Duration, Instant};

use testkit::{Join, PATIENCE, eventually, pause, stream_for};

use super::backend;

/// README "Watching", `skipped`: who lags and catches up in time is told exactly how much it missed, and misses nothing else.
#[tokio::test]
async fn who_lags_is_told_exactly_what_it_missed() {
    // About 1.8 KB each, so that few posts are more than the 1 MiB of a tape: it may not take 10 s until the slow one reads.
    const COMMENTS: usize = 750;
    let (pod, stream) = (backend::shared(), stream_for("lagging"));
    let mut slow = Join::new(&pod, &stream).short_of_buffer().open().await;
    let mut prompt = Join::new(&pod, &stream).open().await;
    let letters = "\u{1F600}".repeat(400);
    // A few at a time, so that the prompt one keeps up on a busy machine.
    for count in (50..=COMMENTS).step_by(50) {
        tokio::join!(prompt.comments(count), pod.fill(&stream, 50, &letters));
    }
    let newest = u64::try_from(COMMENTS).unwrap();
    slow.until("the newest comment", |viewer| viewer.seqs().last() == Some(&newest)).await;
    prompt.assert_contiguous(1);
    let skipped: u64 = slow.all("skipped").map(|frame| frame["count"].as_u64().unwrap()).sum();
    assert!(skipped > 0, "more was posted than a tape holds");
    assert_eq!(slow.seen.len() + usize::try_from(skipped).unwrap(), COMMENTS);
    let mut next = 1;
    for frame in &slow.log[1..] {
        if frame.is("skipped") {
            next += frame.json["count"].as_u64().unwrap();
            let at = frame.json["position"].as_str().unwrap();
            assert!(at.contains(&format!(".{}.", next - 1)), "{at} is where the viewer goes on");
        }
        for comment in frame.json["comments"].as_array().into_iter().flatten() {
            assert_eq!(comment["seq"], next, "no hole but right after skipped");
            next += 1;
        }
    }
}

/// G8 and the table of closes: a viewer whose socket takes no byte for 36 s is closed for 3008, as the log says, and no
/// other viewer is affected.
#[tokio::test]
async fn g8_who_never_reads_is_closed_and_harms_nobody() {
    let (pod, stream) = (backend::start(&[]), stream_for("stuck"));
    let mut stuck = Join::new(&pod, &stream).short_of_buffer().open().await;
    let mut control = Join::new(&pod, &stream).open().await;
    let began = Instant::now();
    pod.fill(&stream, 1_000, &"x".repeat(200)).await;
    let full = Instant::now();
    let log = pod.logged(&["3008"], 2 * PATIENCE);
    let posting = async {
        while full.elapsed() < Duration::from_secs(30) {
            control.say("tick").await;
            pause(Duration::from_millis(100)).await;
        }
    };
    let (line, ()) = tokio::join!(log, posting);
    let took = began.elapsed();
    assert!(took > Duration::from_secs(36), "closed after {took:?}");
    let session = stuck.hello()["session"].as_str().unwrap();
    assert!(line.contains("too slow") && line.contains(session) && !line.contains("xxxx"), "{line}");
    control.say("last").await;
    control.until("the last", |viewer| viewer.seen.last().is_some_and(|seen| seen.body == "last")).await;
    control.assert_contiguous(1);
    eventually("the stuck viewer is gone", PATIENCE, async || {
        (pod.probe("/ready").await.json()["viewers"] == 1).then_some(())
    })
    .await;
    // The close frame waits in the kernel's buffer for the viewer to read on, and is given up after seconds: with a
    // reset, or with nothing, if the kernel gave up before the viewer read. Then a word to a socket that is gone is reset.
    while stuck.try_read(Duration::from_secs(30)).await == Some(true) {}
    if stuck.closed.is_none() {
        let _may_be_gone = stuck.try_send(r#"{"type":"ping"}"#).await;
        stuck.until_closed().await;
    }
    assert!(matches!(stuck.closed, Some(None | Some(3008))), "{:?}", stuck.closed);
}
