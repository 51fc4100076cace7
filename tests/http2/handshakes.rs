//! Handshakes and requests over HTTP/2.

use h2::ext::Protocol;
use hyper::Method;
use serde_json::json;
use testkit::{Answer, Http2, Issuer, Join, Pod, issuer::keyed_private, stream_for};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// A viewer and all routes, on one connection.
#[tokio::test]
async fn a_connection_carries_viewers_and_requests() {
    let (pod, stream) = (Pod::start_private(&[]), stream_for("both"));
    let connection = Http2::connect(pod.public).await;
    let mut ann = Join::new(&pod, &stream).named("Ann").open_on(&connection).await;
    let mut ben = Join::new(&pod, &stream).named("Ben").open_on(&connection).await;
    ann.say("from Ann").await;
    let comments = format!("/v1/streams/{stream}/comments");
    let posted = connection.ask("POST", &comments, &JSON, br#"{"kind":"comment","body":"by REST"}"#).await;
    assert_eq!(posted.status, 201, "{posted:?}");
    for viewer in [&mut ann, &mut ben] {
        viewer.comments(2).await;
        viewer.assert_contiguous(1);
    }
    let page = connection.ask("GET", &format!("{comments}?limit=2"), &[], b"").await;
    assert_eq!(page.json()["comments"].as_array().unwrap().len(), 2);
    let shown = connection.ask("GET", &format!("/v1/streams/{stream}"), &[], b"").await;
    assert_eq!(shown.json()["viewers"], 2);
    let (whole, head) =
        (connection.ask("GET", "/", &[], b"").await, connection.ask("HEAD", "/", &[], b"").await);
    assert!(
        whole.status == 200 && whole.body.len() > 10_000 && whole.body.ends_with("</html>\n"),
        "{whole:?}"
    );
    assert_eq!(head.header("content-length"), Some(whole.body.len().to_string().as_str()));
    assert!(head.body.is_empty() && whole.header("date").is_some());
    let of_http1 = ["connection", "keep-alive", "transfer-encoding", "upgrade"];
    for answer in [&posted, &page, &shown, &whole, &head] {
        assert!(answer.names().all(|name| !of_http1.contains(&name)), "{answer:?}");
    }
}

/// A body of the largest size is read although it exceeds the window of a stream, and a larger one is refused.
#[tokio::test]
async fn large_bodies_are_read_and_larger_ones_refused() {
    let (pod, stream) = (Pod::start_private(&[]), stream_for("large"));
    let connection = Http2::connect(pod.public).await;
    let comment = json!({"stream": stream, "kind": "comment", "body": "x".repeat(400)});
    let batch = json!({"comments": vec![comment; 500]}).to_string();
    assert!(batch.len() > 200_000);
    let answer = connection.ask("POST", "/v1/comments", &JSON, batch.as_bytes()).await;
    assert_eq!(answer.status, 207, "{answer:?}");
    let too_large = vec![b' '; 1024 * 1024 + 1];
    let answer = connection.ask("POST", "/v1/comments", &JSON, &too_large).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(connection.ask("GET", "/v1/streams/a", &[], b"").await.status, 200, "the connection goes on");
}

/// A token is taken from each of its three places, and a stranger's from none.
#[tokio::test]
async fn a_token_is_shown_in_three_ways_and_a_strangers_is_refused() {
    let (issuer, stranger) = (Issuer::create(), Issuer::create());
    let pod = keyed_private(&issuer, &[]);
    let stream = stream_for("tokens");
    let connection = Http2::connect(pod.public).await;
    let (own, forged) = (issuer.token_for("ann"), stranger.token_for("ann"));
    let in_subprotocol = |token: &str| format!("fanfare.v1, bearer.{token}");
    let ways = |token: &str| {
        let join = || Join::new(&pod, &stream);
        [
            join().bearing(token),
            join().with_query("token", token),
            join().with_header("sec-websocket-protocol", &in_subprotocol(token)),
        ]
    };
    for join in ways(&own) {
        let mut viewer = join.open_on(&connection).await;
        viewer.say("as Ann").await;
        viewer.until("a comment", |viewer| viewer.seen.last().is_some_and(|seen| seen.author == "ann")).await;
    }
    for join in ways(&forged).into_iter().chain([Join::new(&pod, &stream)]) {
        let refused = join.attempt_on(&connection).await.err().flatten().expect("a refusal");
        assert_eq!(refused.status, 401, "{join:?}");
    }
}

/// A page of another origin may not watch over HTTP/2 either.
#[tokio::test]
async fn other_origins_are_refused() {
    let pod = Pod::start_private(&[("FANFARE_ORIGINS", "https://live.example")]);
    let connection = Http2::connect(pod.public).await;
    let from = |origin: &str| Join::new(&pod, &stream_for("origin")).with_header("origin", origin);
    from("https://live.example").open_on(&connection).await;
    let refused = from("https://evil.example").attempt_on(&connection).await.err().flatten();
    assert_eq!(refused.expect("a refusal").status, 403);
}

/// A handshake that is none is told, and the connection goes on.
#[tokio::test]
async fn wrong_handshakes_are_told() {
    let pod = Pod::start_private(&[("FANFARE_HEAD_BYTES", "8192")]);
    let connection = Http2::connect(pod.public).await;
    let watch = Pod::watch_path("a");
    let refused =
        async |protocol: &'static str, version: &str, path: &str, more: &[(&str, &str)]| -> Answer {
            let request = connection.request(Method::CONNECT, path, more);
            let request = request.header("sec-websocket-version", version);
            let answer = connection.connect_to(request.extension(Protocol::from_static(protocol))).await;
            answer.err().flatten().expect("a refusal")
        };
    refused("webtransport", "13", &watch, &[]).await.assert_problem(400, "bad_request");
    let old = refused("websocket", "8", &watch, &[]).await;
    old.assert_problem(426, "bad_request");
    assert!(old.header("sec-websocket-version") == Some("13") && old.header("upgrade").is_none(), "{old:?}");
    refused("websocket", "13", "/nowhere", &[]).await.assert_problem(404, "not_found");
    refused("websocket", "13", "/v1/streams/a", &[]).await.assert_problem(405, "bad_request");
    refused("websocket", "13", &Pod::watch_path("a%20b"), &[]).await.assert_problem(400, "bad_request");
    let large = "x".repeat(9_000);
    assert_eq!(refused("websocket", "13", &watch, &[("x-large", &large)]).await.status, 431);
    connection.ask("GET", &watch, &[], b"").await.assert_problem(400, "bad_request");
    connection.ask("POST", &watch, &[], b"").await.assert_problem(405, "bad_request");
    assert_eq!(connection.ask("GET", "/v1/streams/a", &[], b"").await.status, 200, "the connection goes on");
}

/// The subprotocol is chosen where it is offered, and only there.
#[tokio::test]
async fn the_subprotocol_is_answered() {
    let pod = Pod::start_private(&[]);
    let connection = Http2::connect(pod.public).await;
    for (offered, chosen) in [(Some("fanfare.v1"), Some("fanfare.v1")), (Some("other"), None), (None, None)] {
        let headers: Vec<_> = offered.iter().map(|name| ("sec-websocket-protocol", *name)).collect();
        let request = connection.request(Method::CONNECT, &Pod::watch_path("a"), &headers);
        let request = request.header("sec-websocket-version", "13");
        let opened = connection.connect_to(request.extension(Protocol::from_static("websocket"))).await;
        let (_stream, head) = opened.map_err(|answer| format!("{answer:?}")).unwrap();
        let answered = head.headers().get("sec-websocket-protocol").map(|name| name.to_str().unwrap());
        assert_eq!((head.status().as_u16(), answered), (200, chosen));
        assert!(!head.headers().contains_key("sec-websocket-accept"), "{head:?}");
    }
}
