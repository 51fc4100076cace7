//! The size of a request's head.

use testkit::{Peer, Pod, exchange, stream_for};

fn handshake_with(headers: &str) -> String {
    Peer::handshake(&stream_for("heads")).replacen("\r\n\r\n", &format!("\r\n{headers}\r\n\r\n"), 1)
}

async fn status(pod: &Pod, request: &str) -> Option<u16> {
    exchange(pod.public, request.as_bytes()).await.map(|answer| answer.status)
}

/// A browser's head: 1,850 bytes of token, and as many bytes of cookies of the whole domain.
fn of_a_browser(cookies: usize) -> String {
    let each: Vec<_> = (0..cookies / 100).map(|n| format!("c{n:02}={}", "v".repeat(94))).collect();
    let (token, cookies) = ("t".repeat(1_850), each.join("; "));
    handshake_with(&format!("sec-websocket-protocol: fanfare.v1, bearer.{token}\r\ncookie: {cookies}"))
}

/// Symptom: viewers whose browser has 6,000 bytes of cookies for the domain were refused with 431, where clients stop.
/// Cause: a head had room for 8 KiB.
#[tokio::test]
async fn a_browser_with_cookies_of_the_whole_domain_comes_in() {
    let pod = Pod::shared();
    assert_eq!(status(&pod, &of_a_browser(6_000)).await, Some(101));
    assert_eq!(status(&pod, &of_a_browser(13_000)).await, Some(101));
    assert_eq!(status(&pod, &of_a_browser(16_000)).await, Some(431), "over 16 KiB");
}

#[tokio::test]
async fn the_size_of_a_head_is_a_setting() {
    for (bytes, fits, too_large) in [("8192", 5_000, 7_000), ("65536", 60_000, 65_000)] {
        let pod = Pod::start(&[("FANFARE_HEAD_BYTES", bytes)]);
        assert_eq!(status(&pod, &of_a_browser(fits)).await, Some(101), "{bytes}");
        assert_eq!(status(&pod, &of_a_browser(too_large)).await, Some(431), "{bytes}");
    }
}
