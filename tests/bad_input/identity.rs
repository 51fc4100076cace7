//! Whoever is not who they say: tokens, keys, and where they stand. The logs of all this hold no token and no key.

use futures_util::future::join_all;
use serde_json::json;
use testkit::{
    Answer, Issuer, Join, Pod, exchange,
    issuer::{SERVICE_KEY, claims_with, encode, service, service_key},
    request, stream_for,
};

use super::{Control, tokens};

/// A handshake with lines behind its head, and a query.
fn handshake(stream: &str, query: &str, lines: &str) -> String {
    format!(
        "GET {}{query} HTTP/1.1\r\nhost: fanfare\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n",
        Pod::watch_path(stream)
    )
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

/// Where a token stands, alone and beside others.
fn places(issuer: &Issuer, stream: &str) -> Vec<(String, String, (u16, &'static str))> {
    let (good, other) = (issuer.token_for("eve"), issuer.token_for("eve2"));
    let entry = |token: &str| format!("sec-websocket-protocol: fanfare.v1, bearer.{token}\r\n");
    let query = |token: &str| format!("?token={token}");
    let (nobody, unclear) = ((401, "bad_token"), (400, "bad_request"));
    let key = service_key("all");
    let case = |name: &str, query: &str, lines: &str, answer| {
        (name.to_owned(), handshake(stream, query, lines), answer)
    };
    vec![
        case("no token", "", "", nobody),
        case("a name instead", "?name=ann", "", nobody),
        case("an empty Authorization", "", "authorization: \r\n", nobody),
        case("Bearer alone", "", "authorization: Bearer \r\n", nobody),
        case("Basic", "", &format!("authorization: Basic {}\r\n", encode("eve:secret")), nobody),
        case("no scheme", "", &format!("authorization: {good}\r\n"), nobody),
        case("another scheme", "", &format!("authorization: Token {good}\r\n"), nobody),
        case("a service's key", "", &bearer(&key), nobody),
        case("an empty query", "?token=", "", nobody),
        case("an empty entry", "", "sec-websocket-protocol: fanfare.v1, bearer.\r\n", nobody),
        case(
            "an entry without bearer",
            "",
            &format!("sec-websocket-protocol: fanfare.v1, {good}\r\n"),
            nobody,
        ),
        case("a cookie", "", &format!("cookie: token={good}\r\n"), nobody),
        case("another header", "", &format!("x-token: {good}\r\n"), nobody),
        case("a bad token in the query", &query("x.y.z"), "", nobody),
        case("a bad token in an entry", "", &entry("x.y.z"), nobody),
        case("two headers", "", &format!("{}{}", bearer(&good), bearer(&good)), unclear),
        case("header and entry", "", &format!("{}{}", bearer(&good), entry(&good)), unclear),
        case("header and query", &query(&good), &bearer(&good), unclear),
        case("entry and query", &query(&other), &entry(&good), unclear),
        case("two entries", "", &format!("{}{}", entry(&good), entry(&other)), unclear),
        case("two entries in one", "", &entry(&format!("{good}, bearer.{other}")), unclear),
        case("twice in the query", &format!("{}&token={other}", query(&good)), "", unclear),
    ]
}

/// A REST call: its name, method, path, credential, body, and the answer.
type Call = (&'static str, &'static str, String, Option<String>, &'static str, (u16, &'static str));

fn calls(issuer: &Issuer, stream: &str) -> Vec<Call> {
    const GIFT: &str = r#"{"kind":"gift","data":{"n":1}}"#;
    const WORDS: &str = r#"{"kind":"comment","body":"x"}"#;
    const NONE: &str = "";
    let (comments, of_stream) = (format!("/v1/streams/{stream}/comments"), format!("/v1/streams/{stream}"));
    let key = |tail: &str| Some(service_key(tail));
    let eve = |changes| Some(issuer.good(&claims_with("eve", &changes)));
    let anybody = || eve(json!({}));
    let (nobody, no) = ((401, "bad_token"), (403, "not_allowed"));
    let post = |name, key, body, answer| (name, "POST", comments.clone(), key, body, answer);
    let get = |name, key, answer| (name, "GET", comments.clone(), key, NONE, answer);
    let revoke =
        |name, user: &str, key, answer| (name, "DELETE", format!("/v1/viewers/{user}"), key, NONE, answer);
    vec![
        post("a gift without a key", None, GIFT, nobody),
        post("a key that is none", key("none"), GIFT, nobody),
        post("a key's beginning", Some(service_key("all")[..12].to_owned()), GIFT, nobody),
        post("a key and more", key("allx"), GIFT, nobody),
        post("a key in capitals", Some(service_key("all").to_uppercase()), GIFT, nobody),
        post(
            "a key's hash",
            service("x", "all", &[], &[])["sha256"].as_str().map(str::to_owned),
            GIFT,
            nobody,
        ),
        post("a key's name", Some("shop".into()), GIFT, nobody),
        post("a key for follows", key("bell"), GIFT, no),
        post("a key for another stream", key("cinema"), GIFT, no),
        post("a viewer's gift", anybody(), GIFT, no),
        post(
            "a viewer as another",
            anybody(),
            r#"{"kind":"comment","body":"x","author":{"id":"ann","name":"Ann"}}"#,
            no,
        ),
        post("a viewer with data", anybody(), r#"{"kind":"comment","body":"x","data":{}}"#, no),
        post("a viewer without the right", eve(json!({"rights": ["watch"]})), WORDS, no),
        post("a viewer elsewhere", eve(json!({"streams": ["elsewhere"]})), WORDS, no),
        post("an expired viewer", eve(json!({"exp": 1})), WORDS, (401, "token_expired")),
        post("no key and a body that is none", None, "{", nobody),
        get("history without a key", None, nobody),
        get("history of another stream", key("cinema"), no),
        get("history without the right", eve(json!({"rights": ["post"]})), no),
        ("a key in the query", "GET", format!("{comments}?token={}", service_key("all")), None, NONE, nobody),
        ("a stream without a key", "GET", of_stream.clone(), None, NONE, nobody),
        ("a stream as a viewer", "GET", of_stream.clone(), anybody(), NONE, no),
        ("a stream of another key", "GET", of_stream, key("cinema"), NONE, no),
        ("a batch without a key", "POST", "/v1/comments".into(), None, r#"{"comments":[]}"#, nobody),
        ("a batch as a viewer", "POST", "/v1/comments".into(), anybody(), r#"{"comments":[]}"#, no),
        revoke("revoking without a key", "ann", None, nobody),
        revoke("revoking as a viewer", "ann", eve(json!({"rights": ["watch", "post", "moderate"]})), no),
        revoke("revoking with a key for some streams", "ann", key("cinema"), no),
        revoke("revoking nobody that can be", "a%0Ab", key("all"), (400, "bad_request")),
        revoke("revoking who is too long", &"u".repeat(129), key("all"), (400, "bad_request")),
        revoke("revoking what is no UTF-8", "%ff", key("all"), (400, "bad_request")),
    ]
}

async fn call(pod: &Pod, (_, method, path, credential, body, _): &Call) -> Answer {
    let credential = credential.as_ref().map(|credential| format!("Bearer {credential}"));
    let bearer = credential.iter().map(|credential| ("authorization", credential.as_str()));
    let headers: Vec<_> = bearer.chain([("content-type", "application/json")]).collect();
    request(pod.public, method, path, &headers, body.as_bytes()).await
}

/// The lines of a batch each have their own answer: one that the key is not for leaves the others alone.
async fn batch(pod: &Pod, stream: &str) {
    let line = |stream: &str, kind: &str| json!({"stream": stream, "kind": kind, "body": "x"});
    let lines = json!({"comments": [line(stream, "follow"), line(stream, "gift"), line("cinema", "follow")]});
    let bearer = format!("Bearer {}", service_key("bell"));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let answer = request(pod.public, "POST", "/v1/comments", &headers, lines.to_string().as_bytes()).await;
    let results = answer.json()["results"].clone();
    let statuses: Vec<_> =
        results.as_array().unwrap().iter().map(|result| result["status"].clone()).collect();
    assert_eq!(statuses, [201, 403, 403], "{results}");
    assert_eq!(results[1]["code"], "not_allowed");
}

/// Every handshake with a wrong token, or with a token in a wrong place.
fn handshakes(issuer: &Issuer, stream: &str) -> Vec<(String, String, (u16, &'static str))> {
    let of_tokens = tokens::all(issuer, stream).into_iter().map(|(name, token, answer)| {
        (format!("token: {name}"), handshake(stream, "", &bearer(&token)), answer)
    });
    of_tokens.chain(places(issuer, stream)).collect()
}

/// What each case is called.
pub(super) fn names() -> Vec<String> {
    let (issuer, stream) = (Issuer::create(), stream_for("identity"));
    let calls: Vec<_> = calls(&issuer, &stream).into_iter().map(|call| call.0.to_owned()).collect();
    handshakes(&issuer, &stream).into_iter().map(|(name, ..)| name).chain(calls).collect()
}

/// GUARANTEES "Bad input", identity: each with its exact answer, beside a viewer who must not notice.
#[tokio::test]
async fn g14_identities() {
    let (issuer, stream) = (Issuer::create(), stream_for("identity"));
    issuer.write_service_keys(&[
        service("shop", "all", &["comment", "gift", "follow", "mission"], &["*"]),
        service("bell", "bell", &["follow", "comment"], &[&format!("{}*", &stream[..8])]),
        service("cinema", "cinema", &["gift"], &["cinema"]),
    ]);
    let mut settings = issuer.settings();
    settings.push(("RUST_LOG", "trace".to_owned()));
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let pod = std::sync::Arc::new(Pod::start(&settings));
    let control = Join::new(&pod, &stream).bearing(issuer.token_for("control")).open().await;
    let mut control = Control { pod: std::sync::Arc::clone(&pod), stream: stream.clone(), viewer: control };
    control.viewer.say("before").await;

    let handshakes = handshakes(&issuer, &stream);
    let answers = handshakes.iter().map(async |(name, bytes, (status, code))| {
        let answer =
            exchange(pod.public, bytes.as_bytes()).await.unwrap_or_else(|| panic!("{name}: no answer"));
        println!("{name}: {}", answer.status);
        answer.assert_problem(*status, code);
    });
    join_all(answers).await;
    let calls = calls(&issuer, &stream);
    for each in &calls {
        println!("{}", each.0);
        call(&pod, each).await.assert_problem(each.5.0, each.5.1);
    }
    batch(&pod, &stream).await;
    control.unharmed("identity", handshakes.len() + calls.len(), 150).await;
    no_secret_is_logged(&pod, &issuer);
}

/// At any level: no part of a token, no key, and no secret.
fn no_secret_is_logged(pod: &Pod, issuer: &Issuer) {
    let lines = pod.log_lines();
    assert!(!lines.is_empty(), "there is a log");
    let secret = encode(issuer.secret);
    for line in &lines {
        assert!(!line.contains(SERVICE_KEY) && !line.contains(&secret), "{line}");
        // What every header and every payload begins with.
        assert!(!line.contains("eyJ"), "{line}");
    }
}
