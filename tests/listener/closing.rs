//! The end of a connection: what was written before it arrives.

use std::time::Duration;

use testkit::{Heard, Join, PATIENCE, Peer, Pod, RawFrame, Signal, eventually, stream_for};

/// Symptom: behind a proxy that speaks HTTP/2 to viewers, a viewer 269 kB behind at SIGTERM got 98 of 403 frames and 1006.
/// Cause: the pod ended its side right after the close frame, and such a proxy makes a reset of that.
#[tokio::test]
async fn the_end_of_writing_waits_for_the_viewers_close_frame() {
    // A machine that has no time for this test lets the second pass in which the pod waits.
    eventually("an end that waits", PATIENCE, async || {
        let pod = Pod::start(&[]);
        let mut peer = Peer::watch(&pod, &stream_for("waits")).await;
        pod.signal(Signal::Term);
        let close = peer.hear_until(|_| false).await;
        assert!(matches!(close, Heard::Close(Some(_), _)), "{close:?}");
        let waits = !peer.ends_within(Duration::from_millis(300)).await;
        peer.send(&RawFrame::close(1000, "").bytes()).await;
        assert!(peer.ends_within(PATIENCE).await);
        assert_eq!(pod.exit(PATIENCE).await, Some(0));
        waits.then_some(())
    })
    .await;
}

/// A viewer that never answers the close does not hold the exit up.
#[tokio::test]
async fn a_viewer_that_does_not_answer_a_close_is_not_waited_for() {
    let pod = Pod::start(&[]);
    let mut peer = Peer::watch(&pod, &stream_for("mute")).await;
    pod.signal(Signal::Term);
    assert!(matches!(peer.hear_until(|_| false).await, Heard::Close(Some(_), _)));
    assert!(peer.ends_within(PATIENCE).await);
    assert_eq!(pod.exit(PATIENCE).await, Some(0));
}

/// Symptom: a viewer that stopped reading, was closed for it and read on saw a reset and no 3008. Cause: its close frame
/// waited behind the bound of unsent bytes, and the connection was cut after a second.
#[tokio::test]
async fn a_viewer_that_reads_on_after_it_was_too_slow_is_told() {
    let pod = Pod::start(&[]);
    let stream = stream_for("too-slow");
    eventually("3008", PATIENCE * 2, async || {
        let mut viewer = Join::new(&pod, &stream).short_of_buffer().open().await;
        let closes = pod.log_lines().iter().filter(|line| line.contains("3008")).count();
        pod.fill(&stream, 1_000, &"x".repeat(200)).await;
        eventually("it is closed", PATIENCE, async || {
            (pod.log_lines().iter().filter(|line| line.contains("3008")).count() > closes).then_some(())
        })
        .await;
        (viewer.until_closed().await == Some(3008)).then_some(())
    })
    .await;
}

/// Symptom: a client that sent more than was read lost the answer to a reset. Cause: the connection was closed with unread
/// bytes in it.
#[tokio::test]
async fn an_answer_arrives_although_the_rest_of_the_request_is_not_read() {
    let pod = Pod::shared();
    let head = "POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000\r\n\r\n";
    for _ in 0..20 {
        let mut peer = Peer::connect(pod.public).await;
        peer.send(head.as_bytes()).await;
        peer.send(&[b'x'; 200_000]).await;
        let answer = peer.head().await.expect("an answer").to_lowercase();
        assert!(answer.contains(" 404 ") && answer.contains("connection: close"), "{answer}");
        assert!(peer.ends_within(PATIENCE).await);
    }
}
