//! Handshakes by way of a proxy that speaks HTTP/2 to viewers.

use testkit::{Heard, Peer, Pod, exchange, stream_for};

/// A WebSocket over HTTP/2 as Envoy passes it on in HTTP/1.1: with no `Sec-WebSocket-Key` (RFC 8441 section 5).
fn keyless(stream: &str) -> String {
    let handshake = Peer::handshake(stream);
    let lines = handshake.split_inclusive("\r\n").filter(|line| !line.starts_with("sec-websocket-key"));
    lines.collect()
}

/// Symptom: behind Envoy with TLS and `allow_connect` every viewer of a browser was answered 400, and Chromium does not
/// fall back. Cause: an extended CONNECT has no `Sec-WebSocket-Key`, Envoy adds none, and the pod asked for one.
#[tokio::test]
async fn a_trusted_proxy_may_pass_on_a_handshake_without_a_key() {
    let pod = Pod::start(&[("FANFARE_TRUSTED_PROXIES", "127.0.0.0/8")]);
    let stream = stream_for("http2");
    let mut peer = Peer::connect(pod.public).await;
    peer.send(keyless(&stream).as_bytes()).await;
    let head = peer.head().await.expect("an answer").to_lowercase();
    assert!(head.starts_with("http/1.1 101 ") && !head.contains("sec-websocket-accept"), "{head}");
    assert!(matches!(peer.hear().await, Heard::Text(text) if text.contains("hello")));
    let with_key = exchange(pod.public, Peer::handshake(&stream).as_bytes()).await.expect("an answer");
    assert_eq!(with_key.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    for wrong in ["", "short", "dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="] {
        let handshake = Peer::handshake(&stream).replacen("dGhlIHNhbXBsZSBub25jZQ==", wrong, 1);
        let refused = exchange(pod.public, handshake.as_bytes()).await.expect("an answer");
        refused.assert_problem(400, "bad_request");
    }
}

/// From anybody else a handshake without a key is none.
#[tokio::test]
async fn only_a_trusted_proxy_may_leave_the_key_out() {
    let pod = Pod::start(&[("FANFARE_TRUSTED_PROXIES", "10.0.0.0/8")]);
    let handshake =
        keyless(&stream_for("keyless")).replacen("\r\n\r\n", "\r\nx-forwarded-for: 10.0.0.1\r\n\r\n", 1);
    exchange(pod.public, handshake.as_bytes()).await.expect("an answer").assert_problem(400, "bad_request");
}
