//! Requests that backends get wrong.

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::{exchange, request};

use super::Control;

const COMMENT: &str = r#"{"kind":"comment","body":"x"}"#;

/// One request, and the status and code of its answer.
struct Case {
    name: &'static str,
    method: &'static str,
    /// Below the stream's path, or from the root.
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
    answer: (u16, &'static str),
}

const JSON: &str = "application/json";

fn post(name: &'static str, body: impl Into<String>, answer: (u16, &'static str)) -> Case {
    let headers = vec![("content-type", JSON.to_owned())];
    Case { name, method: "POST", path: "/comments".into(), headers, body: body.into(), answer }
}

fn typed(name: &'static str, content_type: &str) -> Case {
    let headers = vec![("content-type", content_type.to_owned())];
    Case { headers, ..post(name, COMMENT, (415, "bad_request")) }
}

fn keyed(name: &'static str, keys: &[&str]) -> Case {
    let mut case = post(name, COMMENT, (400, "bad_request"));
    case.headers.extend(keys.iter().map(|key| ("idempotency-key", (*key).to_owned())));
    case
}

fn page(name: &'static str, query: &str) -> Case {
    let path = format!("/comments?{query}");
    Case { name, method: "GET", path, headers: Vec::new(), body: String::new(), answer: (400, "bad_request") }
}

fn batch(name: &'static str, body: &str, answer: (u16, &'static str)) -> Case {
    Case { path: "/v1/comments".into(), ..post(name, body, answer) }
}

fn bodies() -> Vec<Case> {
    let bad = (400, "bad_request");
    let deep = format!(r#"{{"kind":"gift","data":{}1{}}}"#, r#"{"a":"#.repeat(200), "}".repeat(200));
    let with = |field: &str, value: Value| {
        let mut body = json!({"kind": "gift", "body": "x", "data": {"n": 1}});
        body[field] = value;
        body.to_string()
    };
    vec![
        post("no body", "", bad),
        post("a space", " ", bad),
        post("half an object", r#"{"kind":"#, bad),
        post("a list", "[]", bad),
        post("a list of the fields", r#"["gift",["u1","Ann"],null,{"n":1}]"#, bad),
        post("a list of one object", format!("[{COMMENT}]"), bad),
        post("null", "null", bad),
        post("text behind", format!("{COMMENT}x"), bad),
        post("no kind", r#"{"body":"x"}"#, bad),
        post("kind unknown", r#"{"kind":"emperor","body":"x"}"#, bad),
        post("kind twice", r#"{"kind":"gift","kind":"gift"}"#, bad),
        post("kind a number", r#"{"kind":1}"#, bad),
        post("kind an object", r#"{"kind":{"gift":null},"data":{"n":1}}"#, bad),
        post("body a number", r#"{"kind":"comment","body":1}"#, bad),
        post("a lone surrogate", r#"{"kind":"comment","body":"\ud800"}"#, bad),
        post("author a text", with("author", "ann".into()), bad),
        post("author a list of its fields", with("author", json!(["u1", "Ann"])), bad),
        post("author without a name", with("author", json!({"id": "u"})), bad),
        post("author id a number", with("author", json!({"id": 1, "name": "n"})), bad),
        post("data a list", with("data", json!([1])), bad),
        post("data a text", with("data", "x".into()), bad),
        post("data of 1e400", r#"{"kind":"gift","data":{"n":1e400}}"#, bad),
        post("data 200 deep", deep, bad),
        post(
            "64 KiB and a byte",
            format!("{COMMENT}{}", " ".repeat(64 * 1024 - COMMENT.len() + 1)),
            (413, "too_long"),
        ),
        post("a megabyte", " ".repeat(1024 * 1024), (413, "too_long")),
    ]
}

/// Bodies of the right form whose content is refused.
fn contents() -> Vec<Case> {
    let with = |field: &str, value: Value| {
        let mut body = json!({"kind": "gift", "body": "x", "data": {"n": 1}});
        body[field] = value;
        body.to_string()
    };
    let bad = (400, "bad_request");
    vec![
        post("a field misspelt", r#"{"kind":"comment","boddy":"x"}"#, bad),
        post("a field too many", r#"{"kind":"comment","body":"x","id":"order-7781"}"#, bad),
        post(
            "author with a field too many",
            with("author", json!({"id": "u", "name": "n", "avatar": "x"})),
            bad,
        ),
        post("a gift of nothing", r#"{"kind":"gift","body":"x"}"#, (422, "bad_request")),
        post("a gift of null", r#"{"kind":"gift","data":null}"#, (422, "bad_request")),
        post("no text", r#"{"kind":"comment"}"#, (422, "bad_request")),
        post("author id empty", with("author", json!({"id": "", "name": "n"})), (422, "bad_request")),
        post(
            "author id of controls",
            with("author", json!({"id": "a\nb", "name": "n"})),
            (422, "bad_request"),
        ),
        post("author name empty", with("author", json!({"id": "u", "name": " "})), (422, "bad_request")),
        post(
            "author id too long",
            with("author", json!({"id": "u".repeat(129), "name": "n"})),
            (422, "too_long"),
        ),
        post(
            "author name too long",
            with("author", json!({"id": "u", "name": "n".repeat(65)})),
            (422, "too_long"),
        ),
        post("data too long", with("data", json!({"x": "y".repeat(2_048)})), (422, "too_long")),
    ]
}

fn heads() -> Vec<Case> {
    vec![
        Case { headers: Vec::new(), ..typed("no content type", "") },
        typed("an empty content type", ""),
        typed("a form", "application/x-www-form-urlencoded"),
        typed("plain text", "text/plain"),
        typed("a multipart form", "multipart/form-data; boundary=x"),
        typed("nearly JSON", "application/jsonp"),
        keyed("an empty key", &[""]),
        keyed("a key of 65", &[&"k".repeat(65)]),
        keyed("a key that is not ASCII", &["schl\u{fc}ssel"]),
        keyed("two keys", &["a", "b"]),
        page("limit 0", "limit=0"),
        page("limit 201", "limit=201"),
        page("limit negative", "limit=-1"),
        page("limit a word", "limit=all"),
        page("limit 2^64", "limit=18446744073709551616"),
        page("limit empty", "limit="),
        page("limit twice", "limit=1&limit=2"),
        page("after twice", "after=a&after=b"),
        page("after no position", "after=zzz"),
        page("after half a position", "after=u2-qzDia.7"),
        page("a parameter misspelt", "afer=start"),
        page("a parameter too many", "limit=2&page=3"),
        Case {
            path: "/comments?after=start".into(),
            ..post("a parameter of another call", COMMENT, (400, "bad_request"))
        },
        Case {
            path: "/v1/comments?dry=1".into(),
            ..post("a batch with a parameter", r#"{"comments":[]}"#, (400, "bad_request"))
        },
        Case { path: "?verbose".into(), ..page("a stream with a parameter", "") },
        batch("a batch with a field too many", r#"{"comments":[],"comment":{}}"#, (400, "bad_request")),
        batch("a batch of nothing", "{}", (400, "bad_request")),
        batch("a batch that is a list", "[]", (400, "bad_request")),
        batch("a batch that is a list of its fields", "[[]]", (400, "bad_request")),
        batch("comments a text", r#"{"comments":"x"}"#, (400, "bad_request")),
        batch("comments null", r#"{"comments":null}"#, (400, "bad_request")),
        batch("10,000 brackets", &"[".repeat(10_000), (400, "bad_request")),
        Case { method: "PUT", ..post("another method", COMMENT, (405, "bad_request")) },
        Case { path: "/comment".into(), ..post("another route", COMMENT, (404, "not_found")) },
        Case { path: "/comments/".into(), ..post("a slash too many", COMMENT, (404, "not_found")) },
    ]
}

/// Requests that are no HTTP/1.1: what is read of them, and the status of the answer.
fn broken(stream: &str) -> Vec<(&'static str, String, u16)> {
    let head = format!("POST /v1/streams/{stream}/comments HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\n");
    vec![
        (
            "length and chunks",
            format!("{head}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            400,
        ),
        (
            "chunks twice",
            format!("{head}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            400,
        ),
        ("an unknown encoding", format!("{head}transfer-encoding: gzip\r\n\r\n"), 400),
        ("a chunk's size that is none", format!("{head}transfer-encoding: chunked\r\n\r\nxyz\r\n"), 400),
        ("a chunk of 2^64", format!("{head}transfer-encoding: chunked\r\n\r\n10000000000000000\r\n"), 400),
        ("two lengths", format!("{head}content-length: 1\r\ncontent-length: 2\r\n\r\n{{}}"), 400),
        ("a length with a sign", format!("{head}content-length: +2\r\n\r\n{{}}"), 400),
        ("a length of 2^64", format!("{head}content-length: 18446744073709551616\r\n\r\n"), 400),
        ("a gigabyte that does not come", format!("{head}content-length: 1073741824\r\n\r\n"), 413),
        (
            "chunks over the limit",
            format!("{head}transfer-encoding: chunked\r\n\r\n20000\r\n{}\r\n0\r\n\r\n", " ".repeat(0x20000)),
            413,
        ),
        ("no length and no body", format!("{head}\r\n"), 400),
        ("NUL in the path", "GET /v1/streams/a\0b HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), 400),
        ("a raw letter in the path", "GET /v1/streams/é HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), 400),
        ("braces in the path", "GET /v1/streams/{a} HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), 400),
    ]
}

pub(super) fn names() -> Vec<String> {
    let requests = bodies().into_iter().chain(contents()).chain(heads()).map(|case| case.name.to_owned());
    requests.chain(broken("lobby").into_iter().map(|(name, ..)| name.to_owned())).collect()
}

/// G14: each wrong request has one status and one code, and posts nothing.
#[tokio::test]
async fn g14_requests() {
    let control = Control::begin("requests").await;
    let (address, stream) = (control.pod.public, &control.stream);
    let cases = [bodies(), contents(), heads()].into_iter().flatten().collect::<Vec<_>>();
    let faults = join_all(cases.iter().map(|case| async move {
        let below = format!("/v1/streams/{stream}{}", case.path);
        let path = if case.path.starts_with("/v1") { &case.path } else { &below };
        let headers: Vec<_> = case.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = request(address, case.method, path, &headers, case.body.as_bytes()).await;
        let problem = answer.json();
        let got = (answer.status, problem["code"].as_str().unwrap_or_default());
        if got == case.answer {
            answer.assert_problem(case.answer.0, case.answer.1);
        }
        (got != case.answer).then(|| format!("{}: {got:?} instead of {:?}", case.name, case.answer))
    }))
    .await;
    let broken = broken(stream);
    let more = join_all(broken.iter().map(|(name, bytes, status)| async move {
        let got = exchange(address, bytes.as_bytes()).await.map(|answer| answer.status);
        (got != Some(*status)).then(|| format!("{name}: {got:?} instead of {status}"))
    }))
    .await;
    let faults: Vec<_> = faults.into_iter().chain(more).flatten().collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    control.unharmed("requests", cases.len() + broken.len(), 60).await;
}
