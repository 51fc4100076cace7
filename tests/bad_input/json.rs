//! Messages that are not understood: each is answered with `bad_request`, and the socket lives.

use serde_json::json;
use testkit::Join;

use super::Control;

fn nested(open: &str, close: &str, depth: usize) -> String {
    format!(r#"{{"type":"ping","x":{}1{}}}"#, open.repeat(depth), close.repeat(depth))
}

fn broken() -> Vec<(&'static str, String)> {
    let plain = [
        ("no text", ""),
        ("a space", " "),
        ("a word", "hello"),
        ("half an object", "{"),
        ("half a post", r#"{"type":"post","body":"#),
        ("a stray brace", "}"),
        ("two objects", r#"{"type":"ping"}{"type":"ping"}"#),
        ("text behind", r#"{"type":"ping"} x"#),
        ("a comma too many", r#"{"type":"ping",}"#),
        ("no comma", r#"{"type":"ping" "x":1}"#),
        ("single quotes", "{'type':'ping'}"),
        ("names without quotes", "{type:\"ping\"}"),
        ("a comment", "{\"type\":\"ping\"/* */}"),
        ("a byte order mark", "\u{feff}{\"type\":\"ping\"}"),
        ("NUL behind", "{\"type\":\"ping\"}\0"),
        ("a raw line end in a text", "{\"type\":\"ping\",\"x\":\"a\nb\"}"),
        ("a raw NUL in a text", "{\"type\":\"ping\",\"x\":\"\0\"}"),
        ("a bad escape", r#"{"type":"ping","x":"\x41"}"#),
        ("half an escape", r#"{"type":"ping","x":"\u00"}"#),
        ("a lone high surrogate", r#"{"type":"post","body":"\ud800"}"#),
        ("a lone low surrogate", r#"{"type":"post","body":"\udc00"}"#),
        ("surrogates the wrong way round", r#"{"type":"post","body":"\udc00\ud800"}"#),
        ("a lone surrogate elsewhere", r#"{"type":"ping","x":"\ud800"}"#),
        ("NaN", r#"{"type":"ping","x":NaN}"#),
        ("Infinity", r#"{"type":"ping","x":-Infinity}"#),
        ("1e400", r#"{"type":"ping","x":1e400}"#),
        ("-1e400 in a list", r#"{"type":"ping","x":[-1e400]}"#),
        ("leading zeroes", r#"{"type":"ping","x":01}"#),
        ("a plus sign", r#"{"type":"ping","x":+1}"#),
        ("a bare point", r#"{"type":"ping","x":.5}"#),
        ("hexadecimal", r#"{"type":"ping","x":0x10}"#),
        ("True", r#"{"type":"ping","x":True}"#),
        ("null", "null"),
        ("true", "true"),
        ("a number", "1"),
        ("a text", "\"ping\""),
        ("a list", "[]"),
        ("a list with a message", r#"[{"type":"ping"}]"#),
        ("a list of a message's fields", r#"["post","a","b","comment","x",null,{}]"#),
    ];
    let mut cases: Vec<_> = plain.map(|(name, text)| (name, text.to_owned())).into();
    cases.extend([
        ("lists 200 deep", nested("[", "]", 200)),
        ("lists 5,000 deep", nested("[", "]", 5_000)),
        ("objects 2,000 deep", nested("{\"a\":", "}", 2_000)),
        ("10,000 brackets", "[".repeat(10_000)),
        ("16 KiB of brackets", "[".repeat(16 * 1024)),
        ("a long number", format!("{}.", "9".repeat(10_000))),
    ]);
    cases
}

fn wrong() -> Vec<(&'static str, String)> {
    let plain = [
        ("no field", "{}"),
        ("no type", r#"{"body":"hi"}"#),
        ("type null", r#"{"type":null}"#),
        ("type a number", r#"{"type":1}"#),
        ("type a list", r#"{"type":["ping"]}"#),
        ("type empty", r#"{"type":""}"#),
        ("type unknown", r#"{"type":"dance"}"#),
        ("type in capitals", r#"{"type":"PING"}"#),
        ("type with a space", r#"{"type":"ping "}"#),
        ("a server's frame", r#"{"type":"hello","stream":"x"}"#),
        ("a server's comments", r#"{"type":"comments","comments":[]}"#),
        ("type twice", r#"{"type":"ping","type":"ping"}"#),
        ("body twice", r#"{"type":"post","body":"a","body":"b"}"#),
        ("ref twice", r#"{"type":"ping","ref":"a","ref":"b"}"#),
        ("no body", r#"{"type":"post"}"#),
        ("body null", r#"{"type":"post","body":null}"#),
        ("body a number", r#"{"type":"post","body":1}"#),
        ("body 2^64", r#"{"type":"post","body":18446744073709551616}"#),
        ("body -0", r#"{"type":"post","body":-0}"#),
        ("body a list", r#"{"type":"post","body":["a"]}"#),
        ("body an object", r#"{"type":"post","body":{"a":1}}"#),
        ("body true", r#"{"type":"post","body":true}"#),
        ("body empty", r#"{"type":"post","body":""}"#),
        ("kind unknown", r#"{"type":"post","kind":"emperor","body":"x"}"#),
        ("kind a number", r#"{"type":"post","kind":1,"body":"x"}"#),
        ("kind an object", r#"{"type":"post","kind":{"comment":null},"body":"x"}"#),
        ("kind in capitals", r#"{"type":"post","kind":"Comment","body":"x"}"#),
        ("id a number", r#"{"type":"post","id":1,"body":"x"}"#),
        ("id empty", r#"{"type":"post","id":"","body":"x"}"#),
        ("id with NUL", r#"{"type":"post","id":"\u0000","body":"x"}"#),
        ("id with a line end", r#"{"type":"post","id":"a\r\nb","body":"x"}"#),
        ("id not ASCII", r#"{"type":"post","id":"é","body":"x"}"#),
        ("ref a number", r#"{"type":"ping","ref":1}"#),
        ("ref an object", r#"{"type":"ping","ref":{}}"#),
    ];
    let mut cases: Vec<_> = plain.map(|(name, text)| (name, text.to_owned())).into();
    cases.extend([
        ("id of 65", json!({"type": "post", "id": "i".repeat(65), "body": "x"}).to_string()),
        ("ref of 65", json!({"type": "ping", "ref": "r".repeat(65)}).to_string()),
        ("ref of 10 kB", json!({"type": "post", "ref": "r".repeat(10_000), "body": "x"}).to_string()),
    ]);
    cases
}

pub(super) fn names() -> Vec<String> {
    [broken(), wrong()].concat().into_iter().map(|(name, _)| name.to_owned()).collect()
}

/// G14: whatever the message, there is one answer, and the socket of who sent it lives.
#[tokio::test]
async fn g14_messages() {
    let control = Control::begin("json").await;
    let mut vandal = Join::new(&control.pod, &control.stream).named("vandal").open().await;
    let cases = [broken(), wrong()].concat();
    for (place, (name, text)) in cases.iter().enumerate() {
        vandal.send(text.as_str()).await;
        vandal.until(name, |vandal| vandal.all("error").count() > place).await;
        let error = vandal.all("error").last().unwrap();
        assert_eq!(error["code"], "bad_request", "{name}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(
            !message.is_empty() && message.len() < 200,
            "{name}: what was sent is not sent back: {message}"
        );
    }
    vandal.ping().await;
    assert_eq!(vandal.all("error").count(), cases.len(), "one answer each");
    vandal.say("a good comment on the same socket").await;
    assert_eq!(vandal.all("posted").count(), 1);
    control.unharmed("JSON", cases.len(), 50).await;
}

/// README "Watching": what is odd but right is understood; unknown fields are ignored.
#[tokio::test]
async fn odd_but_right_messages_are_understood() {
    let control = Control::begin("odd").await;
    let mut viewer = Join::new(&control.pod, &control.stream).open().await;
    let right = [
        " \r\n\t{ \"type\" : \"ping\" } \n".to_owned(),
        r#"{"x":18446744073709551616,"type":"ping"}"#.to_owned(),
        r#"{"type":"ping","x":-0,"y":1e-400,"z":1E5}"#.to_owned(),
        r#"{"type":"ping","x":"\ud83d\ude00\u0000\/"}"#.to_owned(),
        r#"{"type":"pi\u006eg"}"#.to_owned(),
        r#"{"type":"ping","":null,"ref":null}"#.to_owned(),
        r#"{"type":"ping","x":1,"x":2}"#.to_owned(),
        nested("[", "]", 100),
        format!(r#"{{"type":"ping","{}":1}}"#, "k".repeat(10_000)),
    ];
    for (place, text) in right.iter().enumerate() {
        viewer.send(text.as_str()).await;
        viewer.until(text, |viewer| viewer.all("pong").count() > place).await;
    }
    assert!(!viewer.has("error"));
    control.unharmed("odd messages", right.len(), 9).await;
}

/// A reference comes back with the error where it could be read, so that the client knows which message was wrong.
#[tokio::test]
async fn errors_name_the_message() {
    let control = Control::begin("refs").await;
    let mut viewer = Join::new(&control.pod, &control.stream).open().await;
    for message in [json!({"body": ""}), json!({"id": "", "body": "x"}), json!({"kind": "gift", "body": "x"})]
    {
        let answer = viewer.post(message).await;
        assert_eq!(answer["type"], "error", "{answer}");
    }
    viewer.send(r#"{"type":"dance","ref":"\"<b>\u0000"}"#).await;
    viewer.until("its own ref", |viewer| viewer.all("error").any(|error| error["ref"] == "\"<b>\u{0}")).await;
    control.unharmed("references", 4, 4).await;
}
