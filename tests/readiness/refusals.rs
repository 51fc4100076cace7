//! Refusals that are told on the WebSocket: to whom, how many, and what they hold.

use std::time::Instant;

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::{
    Heard, Issuer, Join, PATIENCE, Peer, Pod, RawFrame, TempFile, Viewer, eventually, exchange,
    issuer::{claims_with, keyed},
    opcode::PING,
    over_http2, stream_for,
};

const FULL: (&str, &str) = ("FANFARE_MAX_VIEWERS", "1");

/// How many refusals the pod counts as told on the WebSocket.
async fn counted(pod: &Pod) -> f64 {
    pod.counted("fanfare_closes_total", r#"code="1001",reason="not accepting""#).await
}

/// Reads a refusal to its end; returns the time to wait, in milliseconds.
async fn told_ms(viewer: &mut Viewer) -> u64 {
    assert_eq!(viewer.until_closed().await, Some(1001));
    let frames: Vec<&Value> = viewer.log.iter().map(|frame| &frame.json).collect();
    let [frame] = frames[..] else { panic!("one frame before the close: {frames:?}") };
    let within_ms = frame["within_ms"].as_u64().unwrap();
    assert_eq!(frame, &json!({"type": "reconnect", "within_ms": within_ms, "reason": "not_accepting"}));
    within_ms
}

/// A full pod tells so many of the refused on the WebSocket, with a time of its own each, and the rest by 503. They are
/// no viewers, and `fanfare.closes` counts them.
async fn a_share_is_told(start: fn(&[(&str, &str)]) -> Pod) {
    let pod = start(&[FULL, ("FANFARE_SOCKET_REFUSALS_PER_SECOND", "5")]);
    let stream = stream_for("share");
    let mut only = Join::new(&pod, &stream).open().await;
    let begin = Instant::now();
    let storm = join_all((0..60).map(|_| async {
        match Join::new(&pod, &stream).attempt().await {
            Ok(mut viewer) => Ok(told_ms(&mut viewer).await),
            Err(refusal) => Err(refusal),
        }
    }));
    let (told, refused): (Vec<_>, Vec<_>) = storm.await.into_iter().partition(Result::is_ok);
    let most = 5.0 + 5.0 * begin.elapsed().as_secs_f64() + 1.0;
    assert!((5.0..=most).contains(&(told.len() as f64)), "{} of at most {most}", told.len());
    for within_ms in told.iter().flatten() {
        assert!((5_000..=15_000).contains(within_ms), "{within_ms}");
    }
    for refusal in refused {
        let refusal = refusal.unwrap_err().expect("an answer");
        assert!(refusal.status == 503 && refusal.retry_after_s.is_some_and(|wait| (5..=15).contains(&wait)));
    }
    eventually("each is counted", PATIENCE, async || {
        (counted(&pod).await == told.len() as f64).then_some(())
    })
    .await;
    pod.has_viewers(1).await;
    only.say("alone").await;
    drop(only);
    eventually("room", PATIENCE, async || Join::new(&pod, &stream).try_open().await).await;
}

#[tokio::test]
async fn a_full_pod_tells_a_share_of_the_refused_on_the_socket() {
    a_share_is_told(Pod::start).await;
}

#[tokio::test]
async fn a_full_pod_tells_a_share_of_the_refused_on_the_socket_over_tls() {
    a_share_is_told(Pod::start_private).await;
}

#[tokio::test]
async fn a_full_pod_tells_a_share_of_the_refused_on_the_socket_over_http2() {
    a_share_is_told(over_http2::start).await;
}

/// A storm over the pace of handshakes is told shorter times.
#[tokio::test]
async fn a_storm_over_the_pace_is_told_to_come_soon() {
    let pod = Pod::start(&[("FANFARE_ACCEPTS_PER_SECOND", "1")]);
    let stream = stream_for("pace");
    let join = Join::new(&pod, &stream);
    let first = eventually("a refusal on the socket", PATIENCE, async || {
        let mut viewer = join.connect().await?;
        viewer.until("an answer", |viewer| viewer.has("hello") || viewer.has("reconnect")).await;
        viewer.has("reconnect").then_some(viewer)
    });
    let within_ms = told_ms(&mut first.await).await;
    assert!((1_000..=4_000).contains(&within_ms), "{within_ms}");
    assert!(pod.ready().await["ready"] == true, "a pace is no reason to be unready");
}

/// A client that says something before it reads, and one that never answers the close, are told and closed all the same.
#[tokio::test]
async fn a_refused_client_is_closed_whatever_it_says() {
    let pod = Pod::start(&[FULL]);
    let stream = stream_for("early");
    let _only = Join::new(&pod, &stream).open().await;
    let early = [
        Vec::new(),
        RawFrame::text(r#"{"type":"ping"}"#).bytes(),
        RawFrame::new(PING, "x").bytes().repeat(100),
        RawFrame::text("x".repeat(10_000)).bytes(),
        b"these are no frames".to_vec(),
    ];
    for frames in &early {
        let mut peer = Peer::connect(pod.public).await;
        peer.send(&[Peer::handshake(&stream).into_bytes(), frames.clone()].concat()).await;
        assert!(peer.head().await.expect("an answer").starts_with("HTTP/1.1 101 "));
        let Heard::Text(text) = peer.hear().await else { panic!("a frame, {} bytes early", frames.len()) };
        assert!(text.contains("\"not_accepting\""), "{text}");
        assert_eq!(peer.hear().await, Heard::Close(Some(1001), "not accepting".into()));
        assert_eq!(peer.hear().await, Heard::End, "{} bytes early", frames.len());
    }
    pod.has_viewers(1).await;
}

/// A handshake that would be refused for another reason is refused for that one, by an HTTP status.
#[tokio::test]
async fn a_refusal_for_another_reason_is_never_told_on_the_socket() {
    let (issuer, stream) = (Issuer::create(), stream_for("others"));
    let rules = json!({"joins": {"user": {"per_second": 0.01, "burst": 2}}}).to_string();
    let limits = TempFile::with(&rules);
    let more = [FULL, ("FANFARE_LIMITS", limits.path()), ("FANFARE_ORIGINS", "https://live.example")];
    let pod = keyed(&issuer, &more);
    let _only = Join::new(&pod, &stream).bearing(issuer.token_for("only")).open().await;
    let ann = issuer.token_for("ann");
    let elsewhere = issuer.good(&claims_with("ben", &json!({"streams": ["another"]})));
    let handshake =
        |headers: &str| Peer::handshake(&stream).replacen("\r\n\r\n", &format!("\r\n{headers}\r\n"), 1);
    let bearing = |token: &str| handshake(&format!("authorization: Bearer {token}\r\n"));
    let cases = [
        (handshake(""), 401),
        (bearing("x.y.z"), 401),
        (bearing(&elsewhere), 403),
        (handshake("origin: https://evil.example\r\n"), 403),
        (bearing(&ann).replace(&format!("/{stream}/"), "/no%20stream/"), 400),
        (bearing(&ann).replacen("sec-websocket-version: 13", "sec-websocket-version: 8", 1), 426),
        (bearing(&ann).replacen("GET ", "POST ", 1), 405),
        (bearing(&ann), 101),
        (bearing(&ann), 101),
        (bearing(&ann), 429),
    ];
    for (request, status) in &cases {
        let answer = exchange(pod.public, request.as_bytes()).await.expect("an answer");
        assert_eq!(answer.status, *status, "{request}");
    }
    eventually("the two are counted", PATIENCE, async || (counted(&pod).await == 2.0).then_some(())).await;
}

/// More clients than may be told at once, none of which answers the close: the others get 503, and each is let go.
#[tokio::test(flavor = "multi_thread")]
async fn silent_clients_are_told_in_bounded_numbers_and_let_go() {
    // 128 connections that are no viewers, of which a quarter may be refusals on the socket.
    let settings = [FULL, ("FANFARE_SOCKET_REFUSALS_PER_SECOND", "1000000")];
    let pod = Pod::start_after("ulimit -n 256", &settings);
    let stream = stream_for("silent");
    let _only = Join::new(&pod, &stream).open().await;
    let handshake = Peer::handshake(&stream);
    let one = async || {
        let mut peer = Peer::connect(pod.public).await;
        peer.send(handshake.as_bytes()).await;
        let head = peer.head().await.unwrap_or_default();
        let is_told = head.starts_with("HTTP/1.1 101 ");
        assert!(peer.ends_within(PATIENCE).await, "{head}");
        (is_told, head.starts_with("HTTP/1.1 503 "))
    };
    let answers = eventually("some are told and some are not", PATIENCE, async || {
        let answers = join_all((0..60).map(|_| one())).await;
        let told = answers.iter().filter(|(is_told, _)| *is_told).count();
        (told > 0 && told < answers.len()).then_some(answers)
    });
    assert!(answers.await.iter().all(|(is_told, is_refused)| is_told | is_refused));
    assert_eq!(pod.probe("/live").await.status, 200);
    pod.has_viewers(1).await;
}
