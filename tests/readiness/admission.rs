//! Who is let in: limits of viewers, of handshakes a second, and of descriptors.

use std::time::Duration;

use futures_util::future::join_all;
use testkit::{Join, PATIENCE, Peer, Pod, eventually, exchange, in_time, stream_for};

use super::load::until_ready;

/// Over the limit of viewers a handshake is refused before the upgrade, with a time to come again; the pod is not ready
/// until there is room, and everything else goes on.
#[tokio::test]
async fn a_full_pod_refuses_before_the_upgrade() {
    let pod = Pod::start(&[("FANFARE_MAX_VIEWERS", "2"), ("FANFARE_SOCKET_REFUSALS_PER_SECOND", "0")]);
    let stream = stream_for("full");
    let mut first = Join::new(&pod, &stream).open().await;
    let second = Join::new(&pod, &stream).open().await;
    for _ in 0..20 {
        let refused = exchange(pod.public, Peer::handshake(&stream).as_bytes()).await.unwrap();
        refused.assert_problem(503, "not_accepting");
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((5..=15).contains(&wait), "{wait}");
        assert_eq!(refused.header("connection"), Some("close"), "it holds no descriptor");
    }
    assert_eq!(until_ready(&pod, false).await["reasons"], serde_json::json!(["viewers"]));
    pod.post(&stream, "to those who are here").await;
    first.comments(1).await;
    drop(second);
    until_ready(&pod, true).await;
    let third = eventually("room", PATIENCE, async || Join::new(&pod, &stream).try_open().await);
    let _third = third.await;
}

/// A storm of handshakes is taken at the pod's own pace: the rest is told when to come again, and all come in.
#[tokio::test]
async fn a_storm_is_taken_at_the_pace_that_is_set() {
    // So few a second that no machine is too slow for the storm to be one.
    let pod = Pod::start(&[("FANFARE_ACCEPTS_PER_SECOND", "2"), ("FANFARE_SOCKET_REFUSALS_PER_SECOND", "0")]);
    let stream = stream_for("storm");
    let storm = join_all((0..100).map(|_| async { Join::new(&pod, &stream).attempt().await }));
    let begin = std::time::Instant::now();
    let (taken, refused): (Vec<_>, Vec<_>) = storm.await.into_iter().partition(Result::is_ok);
    let most = 2.0 + 2.0 * begin.elapsed().as_secs_f64() + 1.0;
    assert!(!refused.is_empty() && (taken.len() as f64) <= most, "{} of at most {most}", taken.len());
    for refusal in refused {
        let refusal = refusal.err().flatten().expect("an answer");
        assert!(refusal.status == 503 && refusal.retry_after_s.is_some_and(|wait| (1..=4).contains(&wait)));
    }
    assert!(pod.ready().await["ready"] == true, "a pace is no reason to be unready");
    eventually("another turn", PATIENCE, async || Join::new(&pod, &stream).try_open().await).await;
}

/// P11: a pod whose descriptors are used up by silent connections and viewers still answers REST and probes, says why it
/// refuses, and takes viewers again when there is room.
#[tokio::test(flavor = "multi_thread")]
async fn p11_without_descriptors_for_viewers_requests_and_probes_are_answered() {
    let pod = Pod::start_after("ulimit -n 256", &[]);
    let stream = stream_for("files");
    assert_eq!(pod.ready().await["max_viewers"], 192);
    let mut viewers = Vec::new();
    let refusal = loop {
        match Join::new(&pod, &stream).attempt().await {
            Ok(viewer) => viewers.push(viewer),
            Err(refusal) => break refusal.expect("an answer"),
        }
        assert!(viewers.len() <= 192, "64 are kept");
    };
    assert!(viewers.len() > 100, "only {} viewers", viewers.len());
    assert!(refusal.status == 503 && refusal.retry_after_s.is_some(), "{refusal:?}");
    pod.post(&stream, "there is room for requests").await;
    // As many silent connections as there can be: what is over the ceiling is closed at once.
    let silent = join_all((0..300).map(|_| Peer::connect(pod.public))).await;
    for _ in 0..20 {
        assert_eq!(pod.probe("/live").await.status, 200);
        assert!(matches!(pod.probe("/ready").await.status, 200 | 503));
    }
    drop((silent, viewers));
    eventually("room again", PATIENCE, async || Join::new(&pod, &stream).try_open().await).await;
    assert!(until_ready(&pod, true).await["cpu"].is_number());
    pod.deserted().await;
}

/// The reserve holds against what hangs, too: probes are answered while every descriptor for the public listener is held.
#[tokio::test(flavor = "multi_thread")]
async fn p16_probes_are_answered_quickly_while_the_public_side_is_full() {
    let pod = Pod::start_after("ulimit -n 256", &[]);
    let _silent = join_all((0..280).map(|_| Peer::connect(pod.public))).await;
    for _ in 0..50 {
        let live = in_time("a probe", Duration::from_secs(3), async || pod.probe("/live").await);
        assert_eq!(live.await.status, 200);
    }
}
