//! Connections that are no viewers, and the descriptors that they take.

use std::time::Duration;

use futures_util::future::join_all;
use testkit::{Join, PATIENCE, Peer, Pod, eventually, stream_for};

/// Half a head, which is waited for 5 s.
const HALF: &[u8] = b"GET /v1/streams/a HTTP/1.1\r\nhost";

/// Opens connections that send half a head, again and again, until the future is dropped.
pub(crate) async fn flood(pod: &Pod) {
    loop {
        let one = async || {
            let mut peer = Peer::connect(pod.public).await;
            peer.send(HALF).await;
            peer.ends_within(PATIENCE).await;
        };
        join_all((0..160).map(|_| one())).await;
    }
}

/// Symptom: 1,100 connections of a pod with 1,024 descriptors kept everybody out with 503 while `/ready` said 200. Cause:
/// there might be as many connections as descriptors, and descriptors were no reason of `/ready`.
///
/// Symptom: the 503 of a connection for which there was no room did not arrive. Cause: it was tried by way of a runtime
/// that did not know yet that the socket takes bytes (tokio before 1.54).
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_is_a_reason_of_ready_and_each_that_is_refused_is_told() {
    let pod = Pod::start_after("ulimit -n 256", &[]);
    let stream = stream_for("flood");
    let mut viewer = Join::new(&pod, &stream).open().await;
    let noticed = async {
        let refused = eventually("a pod short of descriptors", PATIENCE, async || {
            Some(pod.probe("/ready").await).filter(|answer| answer.status == 503)
        });
        assert_eq!(refused.await.json()["reasons"], serde_json::json!(["descriptors"]));
        let mut told = 0;
        eventually("twenty refusals", PATIENCE, async || {
            let mut peer = Peer::connect(pod.public).await;
            // As a client that is still about to send its request.
            if peer.ends_within(Duration::from_millis(200)).await {
                let head = peer.head().await.expect("a refusal is told").to_lowercase();
                assert!(
                    head.starts_with("http/1.1 503 ") && head.contains("connection: close\r\n"),
                    "{head}"
                );
                assert!(head.contains("retry-after: ") && !head.contains("keep-alive"), "{head}");
                told += 1;
            }
            (told >= 20).then_some(())
        })
        .await;
        assert_eq!(pod.probe("/live").await.status, 200);
        // Who is connected is served.
        viewer.say("through a flood").await;
    };
    tokio::select! {
        () = noticed => {}
        () = flood(&pod) => {}
    }
    eventually("room again", PATIENCE, async || Join::new(&pod, &stream).try_open().await).await;
    eventually("a pod that is ready", PATIENCE, async || {
        (pod.probe("/ready").await.status == 200).then_some(())
    })
    .await;
}
