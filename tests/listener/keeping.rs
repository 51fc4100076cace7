//! How long a connection is kept, and how its end is announced.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Join, PATIENCE, Peer, Pod, Signal, TempFile, pause, stream_for};

/// A post as one sends it over a connection that is used again.
pub(super) fn post_to(stream: &str) -> String {
    let body = r#"{"kind":"comment","body":"hi"}"#;
    format!(
        "POST /v1/streams/{stream}/comments HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends a request and reads the head of its answer, in lower case; none if the connection ended.
async fn ask(peer: &mut Peer, request: &str) -> Option<String> {
    peer.send(request.as_bytes()).await;
    let head = peer.head().await?.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    peer.skip(length.map_or(0, |length| length.parse().unwrap())).await;
    Some(head)
}

/// Symptom: nginx with pooled connections answered 502 to posts that came 4.985 to 4.995 s apart. Cause: a connection
/// without a request was closed after 5 s, sooner than the pools of proxies give theirs up (nginx after 60 s).
#[tokio::test]
async fn an_idle_connection_is_kept_longer_than_pools_of_proxies_keep_it() {
    let pod = Pod::start(&[]);
    let stream = stream_for("pooled");
    let mut pooled = Peer::connect(pod.public).await;
    let head = ask(&mut pooled, &post_to(&stream)).await.expect("an answer");
    assert!(head.contains("201 created") && head.contains("keep-alive: timeout=75"), "{head}");
    assert!(!pooled.ends_within(Duration::from_secs(7)).await, "closed early");
    let head = ask(&mut pooled, &post_to(&stream)).await.expect("an answer after 7 s");
    assert!(head.contains("201 created"), "{head}");
}

/// The time is a setting, each answer tells it, and it ends.
#[tokio::test]
async fn the_idle_time_is_a_setting_that_answers_tell() {
    let pod = Pod::start(&[("FANFARE_KEEP_ALIVE", "2s")]);
    let mut peer = Peer::connect(pod.public).await;
    for _ in 0..2 {
        let head = ask(&mut peer, "GET /v1/streams/a HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("an answer");
        assert!(head.contains("keep-alive: timeout=2\r\n") && !head.contains("close"), "{head}");
        pause(Duration::from_millis(200)).await;
    }
    let begin = Instant::now();
    assert!(peer.ends_within(PATIENCE).await);
    assert!(begin.elapsed() >= Duration::from_millis(1_500), "{:?}", begin.elapsed());
}

/// Symptom: `connection: close` and `keep-alive: timeout=5` in one head, at refusals. Cause: the time was added to each
/// answer, whatever its connection was to become.
#[tokio::test]
async fn an_answer_says_close_or_keep_alive_and_never_both() {
    let limits = TempFile::with(&json!({"joins": {"address": {"per_second": 0.01, "burst": 1}}}).to_string());
    let pod = Pod::start(&[("FANFARE_LIMITS", limits.path())]);
    let _viewer = Join::new(&pod, &stream_for("first")).open().await;
    let too_often = Peer::handshake("a");
    let (get, close) = ("GET /v1/streams/a HTTP/1.1\r\nhost: x\r\n", "connection: close\r\n");
    let unread = "POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 50000\r\n\r\n{";
    let cases = [
        ("a request", format!("{get}\r\n"), 200, false),
        ("a request that says close", format!("{get}{close}\r\n"), 200, true),
        ("a request that says close among others", format!("{get}connection: x, Close\r\n\r\n"), 200, true),
        ("HTTP/1.0", get.replace("1.1", "1.0") + "\r\n", 200, true),
        ("an error", format!("{}\r\n", get.replace("/v1/streams/a", "/nowhere")), 404, false),
        ("a body that is not read", unread.to_owned(), 404, true),
        ("a refused handshake", too_often.clone(), 429, true),
        (
            "a refused handshake of HTTP/1.0 that asks to be kept",
            unread.replace("1.1", "1.0").replace("content", "connection: keep-alive\r\ncontent"),
            404,
            true,
        ),
        ("a handshake in another way", format!("{}\r\n", get.replace("/a ", "/a/watch ")), 426, false),
    ];
    for (name, request, status, ends) in cases {
        let mut peer = Peer::connect(pod.public).await;
        peer.send(request.as_bytes()).await;
        let head = peer.head().await.expect(name).to_lowercase();
        assert!(head.contains(&format!(" {status} ")), "{name}: {head}");
        let options = head.lines().filter_map(|line| line.strip_prefix("connection: "));
        let options = options.flat_map(|line| line.split(", ")).collect::<Vec<_>>();
        let is_old = head.starts_with("http/1.0");
        assert_eq!(options.contains(&"close") || is_old, ends, "{name}: {head}");
        assert_eq!(head.contains("keep-alive"), !ends, "{name}: {head}");
        if ends {
            assert!(peer.ends_within(PATIENCE).await, "{name}");
        }
    }
}

/// Symptom: a balancer that sent a request over a pooled connection of a leaving pod got a reset. Cause: the pod closed
/// its idle connections without a word. From the signal on each answer says `connection: close`, and a connection that
/// is open stays until the last viewer has left.
#[tokio::test]
async fn a_leaving_pod_announces_the_last_answer_of_each_connection() {
    let pod = Pod::start(&[("FANFARE_SETTLE", "2s"), ("FANFARE_DRAIN", "12s")]);
    let stream = stream_for("last");
    let viewer = Join::new(&pod, &stream).open().await;
    let (mut used, mut pooled) = (Peer::connect(pod.public).await, Peer::connect(pod.public).await);
    for peer in [&mut used, &mut pooled] {
        let head = ask(peer, &post_to(&stream)).await.expect("an answer");
        assert!(head.contains("keep-alive: timeout=75") && !head.contains("close"), "{head}");
    }
    pod.signal(Signal::Term);
    pod.logged(&["announcing"], PATIENCE).await;
    let head = ask(&mut used, &post_to(&stream)).await.expect("an answer in the settle time");
    assert!(head.contains("201 created") && head.contains("connection: close"), "{head}");
    assert!(used.ends_within(PATIENCE).await);
    pod.logged(&["refusing"], PATIENCE).await;
    let head = ask(&mut pooled, &post_to(&stream)).await.expect("an answer in the drain");
    assert!(head.contains("201 created") && head.contains("connection: close"), "{head}");
    assert!(!head.contains("keep-alive"), "{head}");
    drop(viewer);
    assert_eq!(pod.exit(PATIENCE).await, Some(0));
}
