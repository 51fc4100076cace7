//! What the edge lets in: limits of frames, posts and handshakes, pages by their origin, clients behind proxies.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::{
    Heard, Join, Peer, Pod, RawFrame, TempFile, exchange,
    opcode::{CONTINUATION, PING, TEXT},
    pause, post, stream_for,
};

fn rate(per_second: f64, burst: u32) -> Value {
    json!({"per_second": per_second, "burst": burst})
}

/// A pod with limits, and the file that names them.
fn limited(rules: &Value, settings: &[(&str, &str)]) -> (Pod, TempFile) {
    let file = TempFile::with(&rules.to_string());
    let pod = Pod::start(&[&[("FANFARE_LIMITS", file.path())], settings].concat());
    (pod, file)
}

/// A handshake with headers more; returns its status.
async fn status(pod: &Pod, stream: &str, headers: &str) -> u16 {
    let bytes = Peer::handshake(stream).replacen("\r\n\r\n", &format!("\r\n{headers}\r\n"), 1);
    let answer = exchange(pod.public, bytes.as_bytes()).await.expect("an answer");
    if answer.status == 429 {
        answer.assert_problem(429, "rate_limited");
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=100).contains(&seconds), "{answer:?}");
    }
    answer.status
}

/// G14: who sends too many frames, whatever is in them, is closed with 1008; nobody else notices.
#[tokio::test]
async fn g14_floods_of_frames_end_their_socket_and_no_other() {
    let (pod, _file) = limited(&json!({"frames": {"viewer": rate(1.0, 200)}}), &[]);
    let stream = stream_for("floods");
    let mut control = Join::new(&pod, &stream).open().await;
    control.say("before").await;
    let ping = RawFrame::text(r#"{"type":"ping"}"#);
    let post = RawFrame::text(r#"{"type":"post","body":"x"}"#);
    let fragment = |opcode: u8, payload: &str| RawFrame::new(opcode, payload).more();
    let first_of_many = |payload: &str| {
        [vec![fragment(TEXT, payload)], vec![fragment(CONTINUATION, payload); 5_000]].concat()
    };
    let cases: [(&str, Vec<RawFrame>); 7] = [
        ("control pings", vec![RawFrame::new(PING, "x"); 1_000]),
        ("pongs", vec![RawFrame::new(0xA, ""); 1_000]),
        ("JSON pings", vec![ping; 1_000]),
        ("posts", vec![post; 1_000]),
        ("messages that are none", vec![RawFrame::text("{"); 1_000]),
        ("endless empty fragments", first_of_many("")),
        ("endless fragments of a byte", first_of_many("x")),
    ];
    join_all(cases.iter().map(|(name, frames)| {
        let (pod, stream) = (&pod, stream_for("flooder"));
        async move {
            let mut peer = Peer::watch(pod, &stream).await;
            let bytes: Vec<u8> = frames.iter().flat_map(RawFrame::bytes).collect();
            peer.send(&bytes).await;
            let heard = peer.hear_until(|_| false).await;
            assert_eq!(heard, Heard::Close(Some(1008), "too many frames".into()), "{name}");
        }
    }))
    .await;
    control.say("after").await;
    control.comments(2).await;
    control.assert_contiguous(1);
    println!("floods: {} cases", cases.len());
}

/// Without limits, too, a message has no end of fragments.
#[tokio::test]
async fn g14_endless_fragments_have_an_end_without_limits() {
    let (pod, stream) = (Pod::shared(), stream_for("endless"));
    let mut peer = Peer::watch(&pod, &stream).await;
    let rest = RawFrame::new(CONTINUATION, "").more().bytes();
    let bytes = [RawFrame::text("").more().bytes(), rest.repeat(10_000)].concat();
    peer.send(&bytes).await;
    assert_eq!(peer.hear_until(|_| false).await, Heard::Close(Some(1008), "too many frames".into()));
}

/// Posts over the limit are refused with the time to wait, and taken again after it.
#[tokio::test]
async fn posts_are_limited_by_viewer_user_and_stream() {
    let rules = json!({"posts": {"viewer": rate(0.2, 3), "user": rate(0.01, 8), "stream": rate(0.01, 12)}});
    let (pod, _file) = limited(&rules, &[]);
    let stream = stream_for("posts");
    let refused = |answer: &Value| {
        let wait = answer["retry_ms"].as_u64();
        (answer["code"] == "rate_limited").then(|| Duration::from_millis(wait.expect("a time to wait")))
    };
    let mut ann = Join::new(&pod, &stream).named("ann").open().await;
    for _ in 0..3 {
        ann.say("one of three").await;
    }
    let begin = Instant::now();
    let wait = refused(&ann.post(json!({"body": "four"})).await).expect("too many");
    assert!(wait <= Duration::from_secs(5), "{wait:?}");
    // It is taken as soon as was told, and no sooner.
    while refused(&ann.post(json!({"body": "again"})).await).is_some() {
        pause(Duration::from_millis(20)).await;
    }
    assert!(begin.elapsed() + Duration::from_millis(1) >= wait, "{:?} of {wait:?}", begin.elapsed());
    let mut second = Join::new(&pod, &stream).named("ann").open().await;
    for _ in 0..3 {
        second.say("another socket").await;
    }
    let mut third = Join::new(&pod, &stream).named("ann").open().await;
    third.say("the eighth of ann").await;
    let wait = refused(&third.post(json!({"body": "the ninth"})).await).expect("too many of one user");
    assert!(wait > Duration::from_secs(10), "{wait:?}");
    let mut ben = Join::new(&pod, &stream).named("ben").open().await;
    for _ in 0..3 {
        ben.say("of ben").await;
    }
    let mut eve = Join::new(&pod, &stream).named("eve").open().await;
    eve.say("the twelfth of the stream").await;
    assert!(refused(&eve.post(json!({"body": "x"})).await).is_some(), "too many of one stream");
    let mut elsewhere = Join::new(&pod, &stream_for("posts")).named("eve").open().await;
    elsewhere.say("another stream").await;
    ben.comments(12).await;
    ben.assert_contiguous(1);
}

/// Posts of backends have a limit of their own, single and in batches.
#[tokio::test]
async fn posts_of_services_are_limited() {
    let (pod, _file) = limited(&json!({"posts": {"service": rate(0.01, 3)}}), &[]);
    let stream = stream_for("service");
    let path = format!("/v1/streams/{stream}/comments");
    let comment = json!({"stream": stream, "kind": "comment", "body": "x"});
    let batch = post(pod.public, "/v1/comments", &json!({"comments": vec![comment.clone(); 5]})).await;
    let batch = batch.json();
    let statuses: Vec<_> =
        batch["results"].as_array().unwrap().iter().map(|result| &result["status"]).collect();
    assert_eq!(statuses, [201, 201, 201, 429, 429]);
    let refused = post(pod.public, &path, &json!({"kind": "comment", "body": "x"})).await;
    refused.assert_problem(429, "rate_limited");
    assert!(
        refused.header("retry-after").is_some_and(|seconds| (1..=100).contains(&seconds.parse().unwrap()))
    );
    Join::new(&pod, &stream).open().await.say("a viewer is no service").await;
}

/// Handshakes are limited by user, by address and by stream, and the address is what a trusted proxy says.
#[tokio::test]
async fn handshakes_are_limited_by_user_address_and_stream() {
    let rules = json!({"joins": {"user": rate(0.01, 2), "address": rate(0.01, 4), "stream": rate(0.01, 9)}});
    let (pod, _file) = limited(&rules, &[("FANFARE_TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8")]);
    let stream = stream_for("joins");
    let from = |address: &str| format!("x-forwarded-for: {address}\r\n");
    let named = |name: &str| {
        Peer::handshake(&stream).replacen(" HTTP/1.1", &format!("?name={name} HTTP/1.1"), 1).replacen(
            "\r\n\r\n",
            "\r\nx-forwarded-for: 203.0.113.77\r\n\r\n",
            1,
        )
    };
    for expected in [101, 101, 429] {
        let answer = exchange(pod.public, named("ann").as_bytes()).await.expect("an answer");
        assert_eq!(answer.status, expected, "one user");
    }
    for expected in [101, 101, 101, 101, 429] {
        assert_eq!(status(&pod, &stream, &from("203.0.113.5")).await, expected, "one address");
    }
    // What stands before it is the client's own invention; what stands behind it are proxies.
    assert_eq!(status(&pod, &stream, &from("192.0.2.1, 203.0.113.5, 10.1.1.1")).await, 429);
    assert_eq!(status(&pod, &stream, &from("192.0.2.1, 203.0.113.5:4711")).await, 429);
    assert_eq!(status(&pod, &stream, &from("198.51.100.9")).await, 101, "another address");
    assert_eq!(status(&pod, &stream, &from("2001:db8::1")).await, 101);
    assert_eq!(status(&pod, &stream, &from("2001:db8:9::1")).await, 101, "the ninth");
    assert_eq!(status(&pod, &stream, &from("198.51.100.10")).await, 429, "one stream");
    assert_eq!(status(&pod, &stream_for("joins"), &from("198.51.100.10")).await, 101, "another stream");
}

/// Without trusted proxies nobody's word counts: everybody here is 127.0.0.1.
#[tokio::test]
async fn a_forged_address_is_nobodys() {
    let (pod, _file) = limited(&json!({"joins": {"address": rate(0.01, 8)}}), &[]);
    let stream = stream_for("forged");
    let forged = [
        "x-forwarded-for: 203.0.113.1\r\n",
        "x-forwarded-for: 203.0.113.2\r\n",
        "x-forwarded-for: 127.0.0.1, 203.0.113.3\r\n",
        "X-Forwarded-For: 203.0.113.4\r\nx-forwarded-for: 203.0.113.5\r\n",
        "x-forwarded-for: \r\n",
        "x-forwarded-for: unknown\r\n",
        "forwarded: for=203.0.113.6\r\n",
        "x-real-ip: 203.0.113.7\r\n",
    ];
    for headers in forged {
        assert_eq!(status(&pod, &stream, headers).await, 101, "{headers}");
    }
    for headers in forged {
        assert_eq!(status(&pod, &stream, headers).await, 429, "{headers}");
    }
}

/// Pages of other origins may not watch, however alike they look; who names none is no browser.
#[tokio::test]
async fn only_the_named_origins_may_watch() {
    let pod = Pod::start(&[("FANFARE_ORIGINS", "https://live.example, http://127.0.0.1:3000")]);
    let stream = stream_for("origins");
    let cases = [
        ("", 101),
        ("origin: https://live.example\r\n", 101),
        ("origin: http://127.0.0.1:3000\r\n", 101),
        ("origin: http://live.example\r\n", 403),
        ("origin: https://live.example:444\r\n", 403),
        ("origin: https://live.example.evil.example\r\n", 403),
        ("origin: https://evil.example/https://live.example\r\n", 403),
        ("origin: https://sub.live.example\r\n", 403),
        ("origin: https://LIVE.example\r\n", 403),
        ("origin: null\r\n", 403),
        ("origin: \r\n", 403),
        ("origin: http://127.0.0.1\r\n", 403),
        ("origin: https://live.example\r\norigin: https://evil.example\r\n", 403),
    ];
    for (headers, expected) in cases {
        assert_eq!(status(&pod, &stream, headers).await, expected, "{headers:?}");
    }
    println!("origins: {} cases", cases.len());
}
