//! Going on after a position.

use std::{cell::Cell, time::Duration};

use serde_json::json;
use testkit::{Join, Pod, Viewer, stream_for};
use tokio::time::interval;

use super::backend;

/// The position of a viewer that has seen all of a stream so far.
async fn head(pod: &Pod, stream: &str) -> String {
    let mut viewer = Join::new(pod, stream).open().await;
    viewer.ping().await;
    viewer.until("the newest", |viewer| viewer.position != viewer.hello()["position"]).await;
    viewer.position
}

fn resumed(viewer: &Viewer) -> &str {
    viewer.hello()["resumed"].as_str().unwrap()
}

/// G5: who comes back gets all that was posted meanwhile, once, and nothing that it had.
#[tokio::test]
async fn g5_who_resumes_gets_all_that_it_missed() {
    let (pod, stream) = (backend::shared(), stream_for("missed"));
    let mut viewer = Join::new(&pod, &stream).open().await;
    viewer.say("one").await;
    viewer.comments(1).await;
    let after = viewer.position.clone();
    drop(viewer);
    pod.fill(&stream, 5, "").await;
    let mut viewer = Join::new(&pod, &stream).after(&after).open().await;
    viewer.comments(5).await;
    viewer.say("live").await;
    viewer.comments(6).await;
    viewer.assert_contiguous(2);
    assert_eq!((resumed(&viewer), viewer.hello()["position"].as_str()), ("all", Some(after.as_str())));
}

/// README "Watching", `hello`: at the newest place nothing follows but what is live.
#[tokio::test]
async fn who_resumes_at_the_newest_place_gets_only_live_comments() {
    let (pod, stream) = (backend::shared(), stream_for("newest"));
    pod.fill(&stream, 3, "").await;
    let after = head(&pod, &stream).await;
    let mut viewer = Join::new(&pod, &stream).after(&after).open().await;
    viewer.ping().await;
    assert!(resumed(&viewer) == "all" && viewer.seen.is_empty());
    viewer.say("live").await;
    viewer.comments(1).await;
    viewer.assert_contiguous(4);
}

/// G5 beyond the newest 50: the rest of the window is paged through, whether the stream is watched or not.
#[tokio::test]
async fn g5_who_resumes_far_back_gets_the_whole_window() {
    let (pod, stream) = (backend::shared(), stream_for("far"));
    let start = Join::new(&pod, &stream).open().await.position;
    // About 1 KB a comment: 300 KB, ten pages.
    pod.fill(&stream, 300, &"é".repeat(480)).await;
    // Until the pod has them all itself, the last ones may still come live.
    let mut witness = Join::new(&pod, &stream).open().await;
    witness.until("the newest", |viewer| viewer.seqs().last() == Some(&300)).await;
    drop(witness);
    let mut viewer = Join::new(&pod, &stream).after(&start).open().await;
    viewer.comments(300).await;
    viewer.assert_contiguous(1);
    assert_eq!(resumed(&viewer), "all");
    let pages: Vec<_> = viewer.log.iter().filter(|frame| frame.is("comments")).collect();
    assert!(pages.len() >= 10 && pages.iter().all(|page| page.bytes <= 32 * 1024));
    assert!(pages.is_sorted_by_key(|page| page.json["history"].is_null()), "history, and then what is live");
    let mut beside = Join::new(&pod, &stream).after(&start).open().await;
    beside.comments(300).await;
    assert_eq!(beside.seen, viewer.seen);
}

/// README "Watching", `gap`: what is trimmed is told, at once and exactly; the rest follows.
#[tokio::test]
async fn what_is_trimmed_is_a_gap() {
    let (pod, stream) = (
        backend::start(&[("FANFARE_HISTORY_COMMENTS", "10"), ("FANFARE_LINGER", "0s")]),
        stream_for("trimmed"),
    );
    let mut first = Join::new(&pod, &stream).open().await;
    first.say("one").await;
    first.comments(1).await;
    let after = first.position.clone();
    drop(first);
    // With nobody there the pod forgets what its tape held.
    pod.deserted().await;
    testkit::pause(Duration::from_millis(300)).await;
    // A Redis may keep more than the window until whole blocks of it can go.
    pod.fill(&stream, 300, "").await;
    let mut viewer = Join::new(&pod, &stream).after(&after).open().await;
    viewer.until("the newest", |viewer| viewer.seqs().last() == Some(&301)).await;
    let kept = viewer.seen.len();
    assert!((10..=10 + backend::KEPT_LONGER).contains(&kept), "{kept}");
    let first = viewer.seen[0].seq;
    viewer.assert_contiguous(first);
    assert_eq!((resumed(&viewer), viewer.hello()["position"].as_str()), ("gap", Some(after.as_str())));
    let gap = &viewer.log[1].json;
    assert_eq!((&gap["type"], &gap["from"], &gap["to"]), (&json!("gap"), &json!(2), &json!(first - 1)));
    viewer.say("live").await;
    viewer.comments(kept + 1).await;
    viewer.assert_contiguous(first);
}

/// S7 and G4: a position that this history never had is a `reset` and then what the history holds, never a crash.
#[tokio::test]
async fn positions_that_this_history_never_had_are_a_reset() {
    let (pod, stream) = (backend::shared(), stream_for("strange"));
    pod.fill(&stream, 4, "").await;
    let (here, foreign) = (head(&pod, &stream).await, stream_for("foreign"));
    pod.fill(&foreign, 4, "").await;
    let foreign = head(&pod, &foreign).await;
    let [epoch, _, id] = here.split('.').collect::<Vec<_>>().try_into().unwrap();
    let long = "A".repeat(4_000);
    let strange = [
        ("another stream's", foreign),
        ("another id at the newest number", format!("{epoch}.4.AAAAAAAAAAAAAAAA")),
        ("another id at an older number", format!("{epoch}.2.{id}")),
        ("the start of another epoch", "AAAAAAAA.0.~".to_owned()),
        ("the next number", format!("{epoch}.5.{id}")),
        ("the greatest number", format!("{epoch}.9007199254740991.{id}")),
        ("over the greatest number", format!("{epoch}.9007199254740992.{id}")),
        ("2^64", format!("{epoch}.18446744073709551616.{id}")),
        ("a negative number", format!("{epoch}.-1.{id}")),
        ("a sign", format!("{epoch}.%2B4.{id}")),
        ("leading zeroes", format!("{epoch}.004.{id}")),
        ("a fraction", format!("{epoch}.4.5.{id}")),
        ("no id", format!("{epoch}.4.~")),
        ("an id at the start", format!("{epoch}.0.{id}")),
        ("one part", "garbage".to_owned()),
        ("dots", "...".to_owned()),
        ("tildes", "~.~.~".to_owned()),
        ("a space", "%20".to_owned()),
        ("NUL", "%00".to_owned()),
        ("line ends", "%0d%0aset-cookie:x".to_owned()),
        ("unicode", "%F0%9F%98%80.4.%E2%80%AE".to_owned()),
        ("JSON", "%7B%22seq%22:4%7D".to_owned()),
        ("a long text", long),
    ];
    for (name, position) in strange {
        let mut viewer = Join::new(&pod, &stream).after(&position).open().await;
        viewer.comments(4).await;
        viewer.assert_contiguous(1);
        assert_eq!(resumed(&viewer), "reset", "{name}");
        assert_eq!(viewer.log[1].json["type"], "reset", "{name}: at once");
        viewer.ping().await;
    }
    let mut empty = Join::new(&pod, &stream).after("").open().await;
    empty.comments(4).await;
    assert_eq!(resumed(&empty), "fresh", "an empty position is none");
}

/// G5: reconnecting a hundred times with `after` under at most 50 comments a second loses and repeats nothing.
#[tokio::test]
async fn g5_a_viewer_that_reconnects_all_the_time_has_everything_once() {
    const JOINS: u64 = 100;
    let (pod, stream) = (backend::shared(), stream_for("restless"));
    let (joined, last) = (Cell::new(0), Cell::new(0));
    // Comments go on until the viewer has come back often enough, however long a machine takes for that.
    let posting = async {
        let mut poster = Join::new(&pod, &stream).open().await;
        let mut pace = interval(Duration::from_millis(20));
        while joined.get() < JOINS {
            pace.tick().await;
            last.set(poster.say("restless").await);
        }
    };
    let watching = async {
        let mut viewer = Join::new(&pod, &stream).open().await;
        let mut seen = Vec::new();
        for join in 1..=JOINS {
            // Now and then it leaves after the hello, and else after a comment or two.
            viewer.until("comments", |viewer| viewer.seen.len() as u64 >= join % 3).await;
            seen.extend(viewer.seqs());
            let after = viewer.position.clone();
            viewer = Join::new(&pod, &stream).after(&after).open().await;
            assert_eq!(resumed(&viewer), "all");
            joined.set(join);
        }
        (viewer, seen)
    };
    let ((), (mut viewer, mut seen)) = tokio::join!(posting, watching);
    let all = seen.last().copied().unwrap_or(0);
    viewer.until("the newest", |viewer| viewer.seqs().last().copied().unwrap_or(all) == last.get()).await;
    seen.extend(viewer.seqs());
    assert_eq!(seen, (1..=last.get()).collect::<Vec<_>>());
}
