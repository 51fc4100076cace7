//! Everything that goes over a viewer's socket, made to come.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    Heard, Issuer, Join, Peer, Pod, RawFrame, Signal, TempFile,
    contract::{
        documents::{elements, members},
        observe::{self, SOCKET},
    },
    embedded,
    issuer::{claims_with, now_s},
    on_redis,
    opcode::{BINARY, TEXT},
    pause, post, request, stream_for,
};

use super::assert_all_seen;

/// What takes a hot pod among others is made to come by the tests of readiness, which are observed as well.
const NOT_HERE: [&str; 1] =
    ["asyncapi.yaml#/components/messages/reconnect/payload/properties/reason: \"rebalance\""];

/// The function by which a backend starts a pod.
type Start = fn(&[(&str, &str)]) -> Pod;

/// Sends a text and hears until the answer is there.
async fn ask(peer: &mut Peer, text: &str) -> Value {
    peer.send(&RawFrame::text(text).bytes()).await;
    loop {
        match peer.hear().await {
            Heard::Text(text) => {
                let json: Value = serde_json::from_str(&text).unwrap();
                if json["type"] == "pong" || json.get("ref").is_some() || json["type"] == "posted" {
                    return json;
                }
            }
            heard => panic!("{text} is answered with {heard:?}"),
        }
    }
}

/// What viewers send, as the document shows it, is what the server takes.
async fn examples(pod: &Pod) {
    let mut peer = Peer::watch(pod, &stream_for("examples")).await;
    for (kind, answer) in [("post", "posted"), ("ping", "pong")] {
        for example in elements(&SOCKET.root["components"]["messages"][kind]["examples"]) {
            observe::sent(&example["payload"]);
            let answered = ask(&mut peer, &example["payload"].to_string()).await;
            assert_eq!(answered["type"], answer, "{example}");
        }
    }
}

/// A post that is refused in each way.
async fn refusals(pod: &Pod) {
    let mut viewer = Join::new(pod, &stream_for("refusals")).named("ann").open().await;
    viewer.post(json!({"id": "x", "body": "hi"})).await;
    let refused = [
        (json!({"body": ""}), "bad_request"),
        (json!({"body": "x".repeat(501)}), "too_long"),
        (json!({"body": "x", "kind": "gift"}), "not_allowed"),
        (json!({"body": "ho", "id": "x"}), "id_reused"),
    ];
    for (message, code) in refused {
        assert_eq!(viewer.post(message).await["code"], code);
    }
    viewer.send("{").await;
    viewer
        .until("an error without a ref", |viewer| viewer.all("error").any(|error| error["ref"].is_null()))
        .await;
}

/// All kinds of comment, live and from history, and the viewers' number.
async fn comments(pod: &Pod) {
    let stream = stream_for("kinds");
    let mut early = Join::new(pod, &stream).open().await;
    let path = format!("/v1/streams/{stream}/comments");
    for kind in ["comment", "gift", "follow", "mission"] {
        let comment =
            json!({"kind": kind, "author": {"id": "u7", "name": "Rui"}, "body": "x", "data": {"n": 1}});
        assert_eq!(post(pod.public, &path, &comment).await.status, 201);
    }
    early.comments(4).await;
    let mut late = Join::new(pod, &stream).open().await;
    late.comments(4).await;
    early.until("a number of viewers", |viewer| viewer.has("viewers")).await;
    let again = Join::new(pod, &stream).after(&early.position).open().await;
    assert_eq!(again.hello()["resumed"], "all");
}

/// Positions that lead to what is trimmed, and to no history at all.
async fn holes(start: Start) {
    let (pod, stream) =
        (start(&[("FANFARE_HISTORY_COMMENTS", "10"), ("FANFARE_LINGER", "0s")]), stream_for("holes"));
    let mut first = Join::new(&pod, &stream).open().await;
    first.say("one").await;
    first.comments(1).await;
    let after = first.position.clone();
    drop(first);
    pod.deserted().await;
    pause(Duration::from_millis(300)).await;
    pod.fill(&stream, 300, "").await;
    let mut viewer = Join::new(&pod, &stream).after(&after).open().await;
    viewer.until("a gap", |viewer| viewer.has("gap")).await;
    let mut stranger = Join::new(&pod, &stream).after("nowhere").open().await;
    stranger.until("a reset", |viewer| viewer.has("reset")).await;
    assert_eq!((&viewer.hello()["resumed"], &stranger.hello()["resumed"]), (&json!("gap"), &json!("reset")));
}

/// A viewer that falls behind is told, and closed when it would miss entries that nobody may miss; the close frame comes
/// if it reads it within seconds.
async fn slowness(pod: &Pod) {
    for _ in 0..9 {
        match closed_for_slowness(pod).await {
            Some(Some(3008)) => return,
            closed => assert_eq!(closed, Some(None), "a reset, as long as the machine is busy"),
        }
    }
    panic!("3008 never came");
}

async fn closed_for_slowness(pod: &Pod) -> Option<Option<u16>> {
    let stream = stream_for("slowness");
    let mut slow = Join::new(pod, &stream).short_of_buffer().open().await;
    let follows = json!({"comments": vec![json!({"stream": stream, "kind": "follow"}); 500]}).to_string();
    let told = std::cell::Cell::new(false);
    let json = [("content-type", "application/json")];
    let posting = async {
        loop {
            if told.get() {
                request(pod.public, "POST", "/v1/comments", &json, follows.as_bytes()).await;
            } else {
                pod.fill(&stream, 500, "").await;
            }
        }
    };
    // It reads all the time, so that the close frame gets through, but slower than is posted.
    let reading = async {
        while slow.read().await {
            told.set(told.get() || slow.log.last().is_some_and(|frame| frame.is("skipped")));
            pause(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = reading => {}
        () = posting => unreachable!("it posts for ever"),
    }
    assert!(slow.has("skipped"));
    slow.closed
}

/// A viewer that says nothing while others talk.
async fn silence(pod: &Pod) {
    let stream = stream_for("silence");
    let mut silent = Peer::watch(pod, &stream).await;
    let talk = async {
        loop {
            pod.post(&stream, "tick").await;
            pause(Duration::from_secs(5)).await;
        }
    };
    let closed = tokio::select! {
        closed = silent.hear_until(|_| false) => closed,
        () = talk => unreachable!("it talks for ever"),
    };
    assert_eq!(closed, Heard::Close(Some(3012), "no pong".into()));
}

/// The closes that a viewer brings about itself.
async fn closes(pod: &Pod) {
    let stream = stream_for("closes");
    let frames = [
        (RawFrame::close(1000, "bye"), 1000),
        (RawFrame::text("{}").unmasked(), 1002),
        (RawFrame::new(BINARY, ""), 1003),
        (RawFrame::new(TEXT, b"\xff"), 1007),
        (RawFrame::text(" ".repeat(16 * 1024 + 1)), 1009),
    ];
    for (frame, code) in frames {
        let mut peer = Peer::watch(pod, &stream).await;
        peer.send(&frame.bytes()).await;
        let closed = peer.hear_until(|_| false).await;
        assert!(matches!(closed, Heard::Close(Some(told), _) if told == code), "{closed:?}");
    }
}

/// Posts, and then frames, that come too fast.
async fn floods() {
    let rules = json!({
        "posts": {"viewer": {"per_second": 0.1, "burst": 1}},
        "frames": {"viewer": {"per_second": 1, "burst": 50}},
    });
    let file = TempFile::with(&rules.to_string());
    let pod = Pod::start(&[("FANFARE_LIMITS", file.path())]);
    let mut viewer = Join::new(&pod, &stream_for("floods")).open().await;
    viewer.say("one").await;
    let refused = viewer.post(json!({"body": "two"})).await;
    assert_eq!(refused["code"], "rate_limited");
    assert!((1..=10_000).contains(&refused["retry_ms"].as_u64().unwrap()), "{refused}");
    for _ in 0..60 {
        viewer.send(r#"{"type":"ping"}"#).await;
    }
    assert_eq!(viewer.until_closed().await, Some(1008));
}

/// A pod that goes away asks its viewers to move, and closes those who stay.
async fn drain(start: Start) {
    let pod = start(&[]);
    let mut viewer = Join::new(&pod, &stream_for("drain")).open().await;
    pod.signal(Signal::Term);
    assert_eq!(viewer.until_closed().await, Some(1001));
    assert!(viewer.has("reconnect"));
}

/// A pod that is full, and says so on the WebSocket.
async fn full(start: Start) {
    let (pod, stream) = (start(&[("FANFARE_MAX_VIEWERS", "1")]), stream_for("full"));
    let _only = Join::new(&pod, &stream).open().await;
    let mut refused = Join::new(&pod, &stream).connect().await.unwrap();
    assert_eq!(refused.until_closed().await, Some(1001));
    assert!(refused.has("reconnect") && !refused.has("hello"));
}

/// Everything about tokens: each right, a refresh, a token that is refused, the warning, and the end.
async fn tokens(start: Start) {
    let (issuer, stream) = (Issuer::create(), stream_for("tokens"));
    let settings = issuer.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let pod = start(&settings);
    let token = |changes: Value| issuer.good(&claims_with("ann", &changes));
    let all = json!({"rights": ["watch", "post", "moderate"], "exp": now_s() + 8});
    let mut ann = Join::new(&pod, &stream).bearing(token(all)).open().await;
    for example in elements(&SOCKET.root["components"]["messages"]["refresh"]["examples"]) {
        observe::sent(&example["payload"]);
        ann.send(example["payload"].to_string()).await;
    }
    let refresh = json!({"type": "refresh", "ref": "t", "token": token(json!({"exp": now_s() - 1}))});
    observe::sent(&refresh);
    ann.send(refresh.to_string()).await;
    ann.until("both refusals", |viewer| viewer.all("error").count() == 2).await;
    let codes: Vec<_> = ann.all("error").map(|error| error["code"].clone()).collect();
    assert_eq!(codes, ["bad_token", "token_expired"]);
    assert_eq!(ann.until_closed().await, Some(3000));
    assert!(ann.has("expiring"));
}

/// A shard that is not there: said before `hello`, and to who posts.
async fn dead_shard() {
    let pod = Pod::start(&[("FANFARE_SHARDS", "dead=redis://127.0.0.1:1")]);
    let mut viewer = Join::new(&pod, "a").connect().await.unwrap();
    viewer.until("an error", |viewer| viewer.has("error")).await;
    assert_eq!(viewer.post(json!({"body": "x"})).await["code"], "shard_unavailable");
}

async fn tour(start: Start) {
    let pod = start(&[]);
    tokio::join!(
        examples(&pod),
        refusals(&pod),
        comments(&pod),
        holes(start),
        slowness(&pod),
        silence(&pod),
        closes(&pod),
        floods(),
        drain(start),
        full(start),
        tokens(start),
        dead_shard(),
    );
}

/// Issue 4: no message, field, value or close code of asyncapi.yaml that a pod does not send, on the embedded shard.
#[tokio::test]
async fn every_frame_of_the_document_is_sent_by_an_embedded_pod() {
    observe::begin();
    Box::pin(tour(embedded::start)).await;
    assert_all_seen(&SOCKET, &NOT_HERE);
}

/// The same on a Redis.
#[tokio::test]
async fn every_frame_of_the_document_is_sent_by_a_pod_on_redis() {
    observe::begin();
    Box::pin(tour(on_redis::start)).await;
    assert_all_seen(&SOCKET, &NOT_HERE);
}

/// What is not in the document is found, wherever it stands.
#[test]
fn a_field_that_no_schema_knows_is_a_fault() {
    let mut planted = 0;
    for (name, message) in members(&SOCKET.root["components"]["messages"]) {
        let schema = format!("/components/messages/{name}/payload");
        for example in elements(&message["examples"]) {
            let mut payload = example["payload"].clone();
            assert_eq!(SOCKET.faults(&schema, &payload), None);
            payload["planted"] = 1.into();
            assert!(
                SOCKET.faults(&schema, &payload).is_some_and(|faults| faults.contains("planted")),
                "{name}"
            );
            planted += 1;
            if let Some(comment) = example["payload"]["comments"].get(0) {
                let mut payload = example["payload"].clone();
                payload["comments"][0] = comment.clone();
                payload["comments"][0]["planted"] = 1.into();
                assert!(SOCKET.faults(&schema, &payload).is_some());
            }
        }
    }
    assert!(planted >= 12, "{planted}");
}
