//! Connections that say nothing, or a byte now and then.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use testkit::{PATIENCE, Peer, RawFrame};

use super::Control;

/// What is sent at once, and what then follows byte by byte, one a second.
fn cases(handshake: &str) -> [(&'static str, &str, &str); 8] {
    let half = handshake.len() / 2;
    [
        ("silence", "", ""),
        ("a byte, then silence", "G", ""),
        ("a byte a second", "", handshake),
        ("half a head, then silence", &handshake[..half], ""),
        ("half a head, then a byte a second", &handshake[..half], &handshake[half..]),
        ("a head without its end", &handshake[..handshake.len() - 2], ""),
        ("empty lines", "\r\n", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"),
        (
            "an answered request, then a byte a second",
            "GET /v1/streams/a HTTP/1.1\r\nhost: x\r\n\r\n",
            handshake,
        ),
    ]
}

pub(super) fn names() -> Vec<String> {
    cases(&Peer::handshake("lobby")).map(|(name, ..)| name.to_owned()).to_vec()
}

/// G14: a handshake that does not come is closed after 5 s, however its bytes drip.
#[tokio::test]
async fn g14_slow_handshakes() {
    let control = Control::begin("slow").await;
    let handshake = Peer::handshake(&control.stream);
    let cases = cases(&handshake);
    let address = control.pod.public;
    join_all(cases.map(|(name, at_once, drip)| async move {
        let begin = Instant::now();
        let mut peer = Peer::connect(address).await;
        peer.send(at_once.as_bytes()).await;
        let mut drip = drip.bytes();
        while !peer.ends_within(Duration::from_secs(1)).await {
            if let Some(byte) = drip.next() {
                peer.send(&[byte]).await;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "{name}: still open after {PATIENCE:?}, and the bound is 5 s"
            );
        }
        let took = begin.elapsed();
        assert!(took > Duration::from_secs(4), "{name}: closed after {took:?} already");
    }))
    .await;
    control.unharmed("slow handshakes", cases.len(), 8).await;
}

/// A viewer may be slow to send a message: it is not a handshake.
#[tokio::test]
async fn a_slow_message_is_a_message() {
    let control = Control::begin("drip").await;
    let mut peer = Peer::watch(&control.pod, &control.stream).await;
    for byte in RawFrame::text(r#"{"type":"ping"}"#).bytes() {
        assert!(!peer.ends_within(Duration::from_millis(50)).await, "the server waits for the rest");
        peer.send(&[byte]).await;
    }
    let pong = |heard: &testkit::Heard| format!("{heard:?}").contains("pong");
    assert!(pong(&peer.hear_until(pong).await));
    control.unharmed("slow messages", 1, 1).await;
}
