//! Handshakes that break RFC 6455 section 4.2 or HTTP, and odd ones that are right.

use futures_util::future::join_all;
use testkit::{Answer, Peer, exchange};

use super::Control;

/// The answer to the key of the sample handshake (RFC 6455 section 1.3).
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The answer's status, or none for an end without one.
type Case = (String, Vec<u8>, Option<u16>);

/// The sample handshake with some text replaced.
struct Sample(String);

impl Sample {
    fn with(&self, from: &str, to: &str) -> String {
        assert!(self.0.contains(from), "{from:?} is not in the sample");
        self.0.replacen(from, to, 1)
    }

    /// Without a header.
    fn without(&self, name: &str) -> String {
        let lines = self.0.split_inclusive("\r\n").filter(|line| !line.starts_with(name));
        lines.collect()
    }

    /// With lines at the end of the head.
    fn and(&self, lines: &str) -> String {
        format!("{}{lines}\r\n\r\n", &self.0[..self.0.len() - 2])
    }
}

fn to_cases<const N: usize>(cases: [(&str, String, u16); N]) -> Vec<Case> {
    cases.map(|(name, text, status)| (name.to_owned(), text.into_bytes(), Some(status))).into()
}

fn requests(sample: &Sample) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD", "get", "FANFARE"] {
        cases.push((format!("method {method}"), sample.with("GET", method).into(), Some(405)));
    }
    cases.extend(to_cases([
        ("HTTP/1.0", sample.with("HTTP/1.1", "HTTP/1.0"), 400),
        ("HTTP/1.2", sample.with("HTTP/1.1", "HTTP/1.2"), 400),
        ("HTTP/2.0", sample.with("HTTP/1.1", "HTTP/2.0"), 400),
        ("no version of HTTP", sample.with(" HTTP/1.1", ""), 400),
        ("no path", sample.with("/v1/streams", ""), 404),
        ("a path that is none", sample.with("/v1/streams", "v1 streams"), 400),
        ("an absolute path", sample.with("GET /", "GET http://fanfare/"), 101),
        ("a method with a colon", sample.with("GET", "G:T"), 400),
        ("a space before the method", sample.with("GET", " GET"), 400),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n".into(), 400),
        ("SSH", "SSH-2.0-OpenSSH_9.6\r\n\r\n".into(), 400),
        ("Redis", "*1\r\n$4\r\nPING\r\n\r\n".into(), 400),
    ]));
    // Who speaks HTTP/2 would not understand an answer in HTTP/1.1.
    cases.push(("HTTP/2's preface".into(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), None));
    cases
}

fn upgrades(sample: &Sample) -> Vec<Case> {
    let upgrade = |value: &str| sample.with("upgrade: websocket", value);
    let connection = |value: &str| sample.with("connection: Upgrade", value);
    let version = |value: &str| sample.with("sec-websocket-version: 13", value);
    to_cases([
        ("no Upgrade", sample.without("upgrade"), 426),
        ("Upgrade: h2c", upgrade("upgrade: h2c"), 426),
        ("Upgrade: websockets", upgrade("upgrade: websockets"), 426),
        ("Upgrade empty", upgrade("upgrade: "), 426),
        ("no Connection", sample.without("connection"), 426),
        ("Connection: close", connection("connection: close"), 426),
        ("Connection: keep-alive", connection("connection: keep-alive"), 426),
        ("no header at all", "GET /v1/streams/a/watch HTTP/1.1\r\nhost: x\r\n\r\n".into(), 426),
        ("no version", sample.without("sec-websocket-version"), 426),
        ("version 8", version("sec-websocket-version: 8"), 426),
        ("version 0", version("sec-websocket-version: 0"), 426),
        ("version 14", version("sec-websocket-version: 14"), 426),
        ("version 013", version("sec-websocket-version: 013"), 426),
        ("version 13.0", version("sec-websocket-version: 13.0"), 426),
        ("version empty", version("sec-websocket-version: "), 426),
        ("versions 13, 8", version("sec-websocket-version: 13, 8"), 426),
        ("version twice", sample.and("sec-websocket-version: 13"), 426),
        (
            "Upgrade: WebSocket, Connection: upgrade",
            upgrade("upgrade: WebSocket").replace(": Upgrade", ": upgrade"),
            101,
        ),
        ("Connection: keep-alive, Upgrade", connection("connection: keep-alive, Upgrade"), 101),
        ("Connection twice", connection("connection: keep-alive\r\nconnection: upgrade"), 101),
        ("Upgrade: h2c, websocket", upgrade("upgrade: h2c, websocket"), 101),
    ])
}

fn keys(sample: &Sample) -> Vec<Case> {
    let key = |value: &str| sample.with("dGhlIHNhbXBsZSBub25jZQ==", value);
    to_cases([
        ("no key", sample.without("sec-websocket-key"), 400),
        ("an empty key", key(""), 400),
        ("a key of 15 bytes", key("dGhlIHNhbXBsZSBub25j"), 400),
        ("a key of 17 bytes", key("dGhlIHNhbXBsZSBub25jZQo="), 400),
        ("a key of 32 bytes", key("dGhlIHNhbXBsZSBub25jZQdGhlIHNhbXBsZSBub25jZQ="), 400),
        ("a key without padding", key("dGhlIHNhbXBsZSBub25jZQ"), 400),
        ("a key that is not base64", key("dGhlIHNhbXBsZSBub25j!!=="), 400),
        ("a key with a space", key("dGhlIHNhbXBs ZSBub25jZ=="), 400),
        ("a key of another alphabet", key("dGhlIHNhbXBsZSBub25_-Q=="), 400),
        ("a key of 4 kB", key(&"A".repeat(4_096)), 400),
        ("two keys", sample.and("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="), 400),
        ("a key with spaces around", key("  dGhlIHNhbXBsZSBub25jZQ==  "), 101),
    ])
}

fn heads(sample: &Sample) -> Vec<Case> {
    let fill = |count: usize| (0..count).map(|n| format!("x-{n}: y")).collect::<Vec<_>>().join("\r\n");
    let path = |query: &str| sample.with("/watch", &format!("/watch{query}"));
    to_cases([
        ("100 headers", sample.and(&fill(95)), 101),
        ("101 headers", sample.and(&fill(96)), 431),
        ("1,000 headers", sample.and(&fill(1_000)), 431),
        ("a header of 17 KiB", sample.and(&format!("x: {}", "y".repeat(17 * 1024))), 431),
        ("a header's name of 17 KiB", sample.and(&format!("{}: y", "x".repeat(17 * 1024))), 431),
        ("17 headers of 1 KiB", sample.and(&vec![format!("x: {}", "y".repeat(1_024)); 17].join("\r\n")), 431),
        ("a query of 17 KiB", path(&format!("?x={}", "y".repeat(17 * 1024))), 431),
        ("a query of 100 KiB", path(&format!("?x={}", "y".repeat(100 * 1024))), 431),
        ("15 KiB of headers", sample.and(&format!("x: {}", "y".repeat(15 * 1024))), 101),
        ("a header without a colon", sample.and("nothing"), 400),
        ("a header without a name", sample.and(": y"), 400),
        ("a space before the colon", sample.and("x : y"), 400),
        ("a folded header", sample.and("x: y\r\n z"), 400),
        ("NUL in a header", sample.and("x: a\0b"), 400),
        ("a bare CR in a header", sample.and("x: a\rb"), 400),
        ("a name with a bracket", sample.and("x[y]: z"), 400),
        ("no Host", sample.without("host"), 400),
        ("two Hosts", sample.and("host: other"), 400),
        ("a body", sample.and("content-length: 5") + "hello", 400),
        ("a body in chunks", sample.and("transfer-encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n", 400),
        ("a length that is none", sample.and("content-length: five"), 400),
        ("a negative length", sample.and("content-length: -1"), 400),
        ("two lengths", sample.and("content-length: 0\r\ncontent-length: 5"), 400),
        ("a body of no bytes", sample.and("content-length: 0"), 101),
        ("after twice", path("?after=a&after=b"), 400),
        ("name twice", path("?name=a&name=b"), 400),
        ("a name of controls", path("?name=%00%07"), 400),
        ("a name that turns text around", path("?name=%E2%80%AE"), 400),
        ("a name of spaces", path("?name=%20%20"), 400),
        ("a name of 300 bytes", path(&format!("?name={}", "n".repeat(300))), 400),
        ("a name of 65 letters", path(&format!("?name={}", "n".repeat(65))), 400),
        ("unknown parameters", path("?track=green&token=x&a=b&&=&%"), 101),
    ])
}

fn offers(sample: &Sample) -> Vec<Case> {
    let extension = |value: &str| sample.and(&format!("sec-websocket-extensions: {value}"));
    let protocol = |value: &str| sample.and(&format!("sec-websocket-protocol: {value}"));
    to_cases([
        ("permessage-deflate", extension("permessage-deflate; client_max_window_bits"), 101),
        ("a list of extensions", extension("permessage-deflate; x=\"1,2\", x-webkit-deflate-frame"), 101),
        ("an extension that is none", extension(";;=,"), 101),
        ("the protocol", protocol("fanfare.v1"), 101),
        ("the protocol beside a token", protocol("bearer.secret, fanfare.v1"), 101),
        ("another protocol", protocol("graphql-ws"), 101),
        ("a foreign origin in open mode", sample.and("origin: https://elsewhere.example"), 101),
    ])
}

fn check(name: &str, answer: &Answer) {
    match answer.status {
        101 => {
            assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT), "{name}");
            assert_eq!(answer.header("sec-websocket-extensions"), None, "{name}: nothing is compressed");
            let protocol = answer.header("sec-websocket-protocol");
            assert_eq!(protocol, name.starts_with("the protocol").then_some("fanfare.v1"), "{name}");
        }
        426 => {
            let told = ["upgrade", "connection", "sec-websocket-version"].map(|header| answer.header(header));
            assert!(
                matches!(told, [Some("websocket"), Some("upgrade" | "upgrade, close"), Some("13")]),
                "{name}: {told:?}"
            );
        }
        405 => assert_eq!(answer.header("allow"), Some("GET"), "{name}"),
        _ => {}
    }
    if matches!(answer.status, 405 | 426) && !name.contains("HEAD") {
        answer.assert_problem(answer.status, "bad_request");
    }
}

fn cases(sample: &Sample) -> Vec<Case> {
    [requests(sample), upgrades(sample), keys(sample), heads(sample), offers(sample)].concat()
}

pub(super) fn names() -> Vec<String> {
    cases(&Sample(Peer::handshake("lobby"))).into_iter().map(|(name, ..)| name).collect()
}

/// G14: each broken handshake has one status, and makes no viewer.
#[tokio::test]
async fn g14_handshakes() {
    let control = Control::begin("handshakes").await;
    let sample = Sample(Peer::handshake(&control.stream));
    let cases = cases(&sample);
    let address = control.pod.public;
    let faults = join_all(cases.iter().map(|(name, bytes, status)| async move {
        let answer = exchange(address, bytes).await;
        let got = answer.as_ref().map(|answer| answer.status);
        if got == *status {
            answer.iter().for_each(|answer| check(name, answer));
        }
        (got != *status).then(|| format!("{name}: {got:?} instead of {status:?}"))
    }))
    .await;
    let faults: Vec<_> = faults.into_iter().flatten().collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    control.unharmed("handshakes", cases.len(), 60).await;
}
