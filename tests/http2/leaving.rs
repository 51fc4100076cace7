//! The ends of viewers over HTTP/2: each is told, and its next socket goes over another connection.

use std::time::Duration;

use testkit::{Http2, Join, PATIENCE, Pod, Signal, pause, stream_for};

/// Viewers of a pod that ends are asked to move, over another connection, and get their tail and 1001.
#[tokio::test(flavor = "multi_thread")]
async fn at_a_drain_the_connection_is_retired_and_tail_and_close_arrive() {
    let pod = Pod::start_private(&[("FANFARE_SETTLE", "0s"), ("FANFARE_DRAIN", "3s")]);
    let stream = stream_for("drain");
    let connection = Http2::connect(pod.public).await;
    let mut viewers = [
        Join::new(&pod, &stream).open_on(&connection).await,
        Join::new(&pod, &stream).open_on(&connection).await,
    ];
    pod.fill(&stream, 300, &"x".repeat(250)).await;
    pod.signal(Signal::Term);
    connection.retired().await;
    for viewer in &mut viewers {
        assert_eq!(viewer.until_closed().await, Some(1001));
        viewer.assert_contiguous(1);
        assert_eq!(viewer.seen.len(), 300);
        assert_eq!(viewer.all("reconnect").count(), 1);
    }
    assert!(connection.ended().await, "in order");
    assert_eq!(pod.exit(PATIENCE).await, Some(0));
}

/// A viewer that comes back over another connection gets what it missed, once.
#[tokio::test]
async fn a_viewer_resumes_over_another_connection() {
    let (pod, stream) = (Pod::start_private(&[]), stream_for("resume"));
    let first = Http2::connect(pod.public).await;
    let mut viewer = Join::new(&pod, &stream).open_on(&first).await;
    pod.fill(&stream, 3, "before").await;
    viewer.comments(3).await;
    let position = viewer.position.clone();
    drop((viewer, first));
    pod.has_viewers(0).await;
    pod.fill(&stream, 4, "meanwhile").await;
    let second = Http2::connect(pod.public).await;
    let mut viewer = Join::new(&pod, &stream).after(&position).open_on(&second).await;
    assert_eq!(viewer.hello()["resumed"], "all");
    viewer.comments(4).await;
    viewer.assert_contiguous(4);
}

/// A viewer that leaves, by a close or by a reset, is gone from its stream, and those beside it stay.
#[tokio::test]
async fn a_viewer_leaves_alone() {
    let (pod, stream) = (Pod::start_private(&[]), stream_for("alone"));
    let connection = Http2::connect(pod.public).await;
    let mut stays = Join::new(&pod, &stream).open_on(&connection).await;
    let mut says_bye = Join::new(&pod, &stream).open_on(&connection).await;
    let is_reset = Join::new(&pod, &stream).open_on(&connection).await;
    says_bye.bye().await;
    assert_eq!(says_bye.until_closed().await, Some(1000));
    drop(is_reset);
    pod.has_viewers(1).await;
    stays.say("still here").await;
    stays.comments(1).await;
}

/// The pod that asks one viewer to move retires the connection of all: what they open next goes elsewhere.
#[tokio::test]
async fn a_connection_is_retired_after_so_many_viewers() {
    let (pod, stream) = (Pod::start_private(&[]), stream_for("many"));
    let connection = Http2::connect(pod.public).await;
    let mut viewers = Vec::new();
    for _ in 0..16 {
        assert!(connection.takes_streams().await);
        viewers.push(Join::new(&pod, &stream).open_on(&connection).await);
    }
    connection.retired().await;
    viewers[0].say("to all").await;
    for viewer in &mut viewers {
        viewer.comments(1).await;
    }
    let second = Http2::connect(pod.public).await;
    Join::new(&pod, &stream).open_on(&second).await;
    drop(viewers);
    assert!(connection.ended().await, "in order, once the last viewer has left");
    pod.has_viewers(0).await;
}

/// A viewer that is refused on the WebSocket is to come again over another connection; the viewer beside it stays.
#[tokio::test]
async fn a_refusal_retires_the_connection_and_the_viewer_beside_it_stays() {
    let pod = Pod::start_private(&[("FANFARE_MAX_VIEWERS", "1")]);
    let stream = stream_for("full");
    let connection = Http2::connect(pod.public).await;
    let mut only = Join::new(&pod, &stream).open_on(&connection).await;
    let mut refused = Join::new(&pod, &stream).attempt_on(&connection).await.expect("a WebSocket");
    assert_eq!(refused.until_closed().await, Some(1001));
    assert!(refused.has("reconnect") && !refused.has("hello"));
    connection.retired().await;
    only.say("still here").await;
    only.comments(1).await;
    drop((only, refused));
    assert!(connection.ended().await, "in order");
}

/// One that takes nothing of its refusal holds its connection no longer than one that does.
#[tokio::test]
async fn a_refused_viewer_that_takes_nothing_is_let_go() {
    let pod = Pod::start_private(&[("FANFARE_MAX_VIEWERS", "1")]);
    let stream = stream_for("deaf");
    let _only = Join::new(&pod, &stream).open_on(&Http2::connect(pod.public).await).await;
    let deaf = Http2::with_window(pod.public, 0).await;
    let refused = Join::new(&pod, &stream).attempt_on(&deaf).await.expect("a WebSocket");
    assert!(deaf.ended().await, "in order");
    drop(refused);
}

/// A connection without streams is kept as long as one of HTTP/1.1, then ends in order.
#[tokio::test]
async fn an_idle_connection_ends_in_time_and_one_with_a_viewer_stays() {
    let pod = Pod::start_private(&[("FANFARE_KEEP_ALIVE", "1s")]);
    let stream = stream_for("idle");
    let (idle, watching) = (Http2::connect(pod.public).await, Http2::connect(pod.public).await);
    let mut viewer = Join::new(&pod, &stream).open_on(&watching).await;
    assert_eq!(idle.ask("GET", "/v1/streams/a", &[], b"").await.status, 200);
    assert!(idle.ended().await, "in order");
    pause(Duration::from_secs(2)).await;
    assert!(watching.takes_streams().await);
    viewer.say("still here").await;
    drop(viewer);
    assert!(watching.ended().await, "in order");
}
