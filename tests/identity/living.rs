//! A token's life on a socket: how it comes, its end, and another in its place.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{
    Heard, Issuer, Join, Peer, Pod, RawFrame, Signs, Viewer,
    issuer::{claims_with, header, keyed, now_s},
    pause, stream_for,
};

/// How the socket of a viewer who sends a refresh was closed, or what it was told.
async fn refresh(viewer: &mut Viewer, token: &str) -> Value {
    let before = viewer.all("error").count();
    viewer.send(json!({"type": "refresh", "ref": "t", "token": token}).to_string()).await;
    viewer.ping().await;
    viewer.all("error").nth(before).map_or(Value::Null, |error| error["code"].clone())
}

/// Each algorithm, and each of the three ways for a token to come.
#[tokio::test]
async fn a_good_token_lets_its_user_watch_and_post_however_it_comes() {
    let (issuer, stream) = (Issuer::create(), stream_for("ways"));
    let pod = keyed(&issuer, &[]);
    for signs in Signs::ALL {
        let streams = json!({"streams": ["other", format!("{}*", &stream[..4])], "rights": ["watch", "post", "moderate"]});
        let token = issuer.token(signs, &header(signs), &claims_with(signs.alg(), &streams));
        let mut viewer = Join::new(&pod, &stream).named("somebody").bearing(token).open().await;
        assert_eq!(viewer.hello()["rights"], json!(["watch", "post", "moderate"]));
        viewer.say(signs.alg()).await;
        let said = |viewer: &Viewer| viewer.seen.last().is_some_and(|seen| seen.body == signs.alg());
        viewer.until("its own comment", said).await;
        assert_eq!(viewer.seen.last().unwrap().author, signs.alg(), "the user is the token's");
    }
    let token = issuer.token_for("ann");
    let sample = Peer::handshake(&stream);
    let ways = [
        sample.replacen("/watch?", "/watch", 1).replacen("/watch", &format!("/watch?token={token}"), 1),
        sample.replacen("\r\n\r\n", &format!("\r\nauthorization: bEARER {token}\r\n\r\n"), 1),
        sample.replacen(
            "\r\n\r\n",
            &format!("\r\nsec-websocket-protocol: fanfare.v1,bearer.{token}\r\n\r\n"),
            1,
        ),
    ];
    for way in ways {
        let mut peer = Peer::connect(pod.public).await;
        peer.send(way.as_bytes()).await;
        let head = peer.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(!head.contains(&token), "only fanfare.v1 is chosen: {head}");
        let hello = peer.hear().await;
        assert!(matches!(&hello, Heard::Text(text) if text.contains("\"hello\"")), "{hello:?}");
        peer.send(&RawFrame::close(1000, "").bytes()).await;
    }
}

/// Symptom: viewers behind a proxy that asks for a password were refused. Cause: browsers send that password in
/// `Authorization`, which was taken for a bad token, and for a second one beside the viewer's; and an empty `token=` too.
#[tokio::test]
async fn a_credential_of_another_scheme_is_not_for_us() {
    let (issuer, stream) = (Issuer::create(), stream_for("basic"));
    let pod = keyed(&issuer, &[]);
    let token = issuer.token_for("ann");
    let with = |header: &str| Join::new(&pod, &stream).with_header("authorization", header);
    let protocols = format!("fanfare.v1, bearer.{token}");
    with("Basic YTpi").with_header("sec-websocket-protocol", &protocols).open().await;
    with("Basic YTpi").with_query("token", &token).open().await;
    with(&format!("Bearer  {token}")).with_query("token", "").open().await;
    for refused in [with("Basic YTpi"), with("Bearer "), with("Bearer").with_query("token", &token)] {
        assert_eq!(refused.attempt().await.err().flatten().unwrap().status, 401);
    }
    let two = with(&format!("Bearer {token}")).with_query("token", &token);
    assert_eq!(two.attempt().await.err().flatten().unwrap().status, 400);
}

/// PROTOCOL: `expiring` in the last fifth of a token's life, 3000 at the end, and never a moment later.
#[tokio::test]
async fn a_token_that_ends_is_told_of_and_closes_its_socket() {
    let (issuer, stream) = (Issuer::create(), stream_for("ending"));
    let pod = keyed(&issuer, &[]);
    let token = issuer.good(&claims_with("ann", &json!({"exp": now_s() + 3})));
    let mut ann = Join::new(&pod, &stream).bearing(token).open().await;
    let mut ben = Join::new(&pod, &stream).bearing(issuer.token_for("ben")).open().await;
    ann.until("a warning", |viewer| viewer.has("expiring")).await;
    let in_ms = ann.all("expiring").next().unwrap()["in_ms"].as_u64().unwrap();
    assert!((1..=800).contains(&in_ms), "a fifth of 4 s: {in_ms}");
    let told = Instant::now();
    assert_eq!(ann.until_closed().await, Some(3000));
    let (took, said) = (told.elapsed(), Duration::from_millis(in_ms));
    assert!(took + Duration::from_millis(50) >= said, "closed after {took:?}, not {said:?}");
    assert_eq!(ann.all("expiring").count(), 1);
    ben.ping().await;
    assert!(!ben.has("expiring"), "who has an hour left is told nothing");
}

/// Another token of the same user takes the place of one that ends, with its rights and its name.
#[tokio::test]
async fn a_refresh_goes_on_with_another_token_on_the_live_socket() {
    let (issuer, stream) = (Issuer::create(), stream_for("refresh"));
    let pod = keyed(&issuer, &[]);
    let short = |rights: &[&str]| {
        claims_with("ann", &json!({"iat": now_s() - 3_000, "exp": now_s() + 4, "rights": rights}))
    };
    let mut ann = Join::new(&pod, &stream).bearing(issuer.good(&short(&["watch"]))).open().await;
    assert_eq!(ann.post(json!({"body": "x"})).await["code"], "not_allowed");
    ann.until("a warning", |viewer| viewer.has("expiring")).await;
    let fresh = claims_with("ann", &json!({"name": "Ann II"}));
    assert_eq!(refresh(&mut ann, &issuer.good(&fresh)).await, Value::Null);
    pause(Duration::from_secs(5)).await;
    ann.say("still here").await;
    ann.comments(1).await;
    assert!(ann.closed.is_none());
    let comments = ann.all("comments").next().unwrap()["comments"].clone();
    assert_eq!(comments[0]["author"], json!({"id": "ann", "name": "Ann II"}));
    // And back to less: what the newest token does not allow is over.
    assert_eq!(refresh(&mut ann, &issuer.good(&short(&["watch"]))).await, Value::Null);
    assert_eq!(ann.post(json!({"body": "x"})).await["code"], "not_allowed");
    assert_eq!(ann.until_closed().await, Some(3000));
}

/// Symptom: a viewer with tokens of a minute fetched thousands of them in seconds, and was closed with 1008. Cause: the
/// warning came a minute before the end of each token, so at once after each `refresh`.
#[tokio::test]
async fn a_refresh_with_a_token_that_ends_soon_brings_no_further_warning() {
    let (issuer, stream) = (Issuer::create(), stream_for("loop"));
    let pod = keyed(&issuer, &[]);
    let token = |user: &str, issued: u64, end: u64| {
        issuer.good(&claims_with(user, &json!({"iat": issued, "exp": end})))
    };
    let of_a_minute = || token("ben", now_s(), now_s() + 60);
    let mut ben = Join::new(&pod, &stream).bearing(of_a_minute()).open().await;
    // It ends before a second warning may come.
    let end = now_s() + 9;
    let cached = token("ann", end - 60, end);
    let mut ann = Join::new(&pod, &stream).bearing(&cached).open().await;
    ann.until("a warning", |viewer| viewer.has("expiring")).await;
    for earlier in 1..20 {
        assert_eq!(refresh(&mut ann, &cached).await, Value::Null);
        assert_eq!(refresh(&mut ann, &token("ann", end - 60 - earlier, end)).await, Value::Null);
        assert_eq!(refresh(&mut ben, &of_a_minute()).await, Value::Null);
    }
    assert_eq!((ann.all("expiring").count(), ben.all("expiring").count()), (1, 0));
    assert_eq!(ann.until_closed().await, Some(3000));
    assert_eq!(ann.all("expiring").count(), 1);
}

/// A refresh that is no better than the handshake would be is refused, and the old token goes on.
#[tokio::test]
async fn a_refresh_that_is_not_good_changes_nothing() {
    let (issuer, stream) = (Issuer::create(), stream_for("refused"));
    let pod = keyed(&issuer, &[]);
    let mut ann = Join::new(&pod, &stream).bearing(issuer.token_for("ann")).open().await;
    let with = |changes| issuer.good(&claims_with("ann", &changes));
    let cases = [
        (issuer.token_for("ben"), "not_allowed"),
        (with(json!({"streams": ["elsewhere"]})), "not_allowed"),
        (with(json!({"rights": ["post"]})), "not_allowed"),
        (with(json!({"exp": now_s() - 1})), "token_expired"),
        (with(json!({"aud": "shop"})), "bad_token"),
        (Issuer::create().token_for("ann"), "bad_token"),
        ("x".to_owned(), "bad_token"),
        (String::new(), "bad_token"),
        ("e".repeat(8_192), "bad_token"),
    ];
    for (token, code) in cases {
        assert_eq!(refresh(&mut ann, &token).await, code, "{token}");
        ann.say("as before").await;
    }
    for broken in
        [r#"{"type":"refresh"}"#, r#"{"type":"refresh","token":null}"#, r#"{"type":"refresh","token":{}}"#]
    {
        let before = ann.all("error").count();
        ann.send(broken).await;
        ann.ping().await;
        assert_eq!(ann.all("error").nth(before).unwrap()["code"], "bad_request", "{broken}");
    }
}

/// Without keys a token is neither asked for nor looked at; with them a name is not.
#[tokio::test]
async fn an_open_pod_ignores_tokens() {
    let (pod, stream) = (Pod::shared(), stream_for("open"));
    let mut viewer = Join::new(&pod, &stream).named("ann").bearing("x.y.z").open().await;
    viewer.say("hi").await;
    viewer.comments(1).await;
    assert_eq!(viewer.seen[0].author, "ann");
    assert_eq!(refresh(&mut viewer, "x.y.z").await, "bad_token");
}
