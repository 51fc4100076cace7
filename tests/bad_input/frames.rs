//! Frames that break RFC 6455, or that Fanfare does not take, and odd ones that are right.

use futures_util::future::join_all;
use serde_json::json;
use testkit::{
    Heard, Peer, Pod, RawFrame,
    opcode::{BINARY, CLOSE, CONTINUATION, PING, PONG},
    over_tls, post,
};

use super::Control;

const LIMIT: usize = 16 * 1024;
const JSON_PING: &str = r#"{"type":"ping"}"#;

/// What comes of it.
enum Ends {
    /// The server closes with this code.
    Close(u16),
    /// The server answers the close with a close without a code.
    Bare,
    /// The server answers with this control pong, and the socket lives.
    Pong(Vec<u8>),
    /// The server answers with a text that holds this, and the socket lives.
    Text(&'static str),
    /// Nothing is said, and the socket lives.
    Lives,
}

struct Case {
    name: String,
    bytes: Vec<u8>,
    ends: Ends,
}

fn case(name: impl Into<String>, frames: &[RawFrame], ends: Ends) -> Case {
    Case { name: name.into(), bytes: frames.iter().flat_map(RawFrame::bytes).collect(), ends }
}

fn text(payload: impl AsRef<[u8]>) -> RawFrame {
    RawFrame::text(payload)
}

fn rest(payload: impl AsRef<[u8]>) -> RawFrame {
    RawFrame::new(CONTINUATION, payload)
}

/// A JSON ping of exactly so many bytes.
fn padded(bytes: usize) -> String {
    format!("{JSON_PING}{}", " ".repeat(bytes - JSON_PING.len()))
}

fn framing() -> Vec<Case> {
    let protocol = || Ends::Close(1002);
    let mut cases = vec![
        case("unmasked text", &[text(JSON_PING).unmasked()], protocol()),
        case("unmasked ping", &[RawFrame::new(PING, "").unmasked()], protocol()),
        case("unmasked close", &[RawFrame::close(1000, "").unmasked()], protocol()),
        case("unmasked continuation", &[text("{").more(), rest("}").unmasked()], protocol()),
        case("compressed text", &[text(JSON_PING).reserved(4)], protocol()),
        case("RSV2", &[text(JSON_PING).reserved(2)], protocol()),
        case("RSV3", &[text(JSON_PING).reserved(1)], protocol()),
        case("all reserved bits", &[text(JSON_PING).reserved(7)], protocol()),
        case("reserved bit on a ping", &[RawFrame::new(PING, "").reserved(4)], protocol()),
        case("reserved bit on a continuation", &[text("{").more(), rest("}").reserved(4)], protocol()),
        case("fragmented ping", &[RawFrame::new(PING, "a").more()], protocol()),
        case("fragmented pong", &[RawFrame::new(PONG, "a").more()], protocol()),
        case("fragmented close", &[RawFrame::close(1000, "").more()], protocol()),
        case("ping of 126 bytes", &[RawFrame::new(PING, [b'a'; 126])], protocol()),
        case("pong of 126 bytes", &[RawFrame::new(PONG, [b'a'; 126])], protocol()),
        case("close of 126 bytes", &[RawFrame::close(1000, [b'a'; 124])], protocol()),
        case("ping of 16 KiB", &[RawFrame::new(PING, [b'a'; LIMIT])], protocol()),
        case("ping over every limit", &[RawFrame::new(PING, [b'a'; 65_536])], Ends::Close(1009)),
        case("stray continuation", &[rest("x")], protocol()),
        case("stray first continuation", &[rest("x").more()], protocol()),
        case("continuation of nothing more", &[text(JSON_PING), rest("x")], protocol()),
        case("text inside a message", &[text("{").more(), text("}")], protocol()),
        case("binary inside a message", &[text("{").more(), RawFrame::new(BINARY, "")], protocol()),
        case("text inside a binary message", &[RawFrame::new(BINARY, "a").more(), text("}")], protocol()),
    ];
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        cases.push(case(format!("opcode {opcode:#x}"), &[RawFrame::new(opcode, "")], protocol()));
    }
    cases
}

fn closes() -> Vec<Case> {
    let mut cases = vec![
        case("close with one byte", &[RawFrame::new(CLOSE, "a")], Ends::Close(1002)),
        case("close without a body", &[RawFrame::new(CLOSE, "")], Ends::Bare),
        case("close with the longest reason", &[RawFrame::close(1000, [b'a'; 123])], Ends::Close(1000)),
        case(
            "a post after close",
            &[RawFrame::close(1000, ""), text(r#"{"type":"post","body":"late"}"#)],
            Ends::Close(1000),
        ),
        case(
            "garbage after close",
            &[RawFrame::close(1000, ""), RawFrame::new(0xf, "x").unmasked()],
            Ends::Close(1000),
        ),
        case("close inside a message", &[text("{").more(), RawFrame::close(1001, "")], Ends::Close(1001)),
        case("close with a bad reason", &[RawFrame::close(1000, b"\xff")], Ends::Close(1007)),
        case("close with half a letter", &[RawFrame::close(1000, b"ok \xe2\x82")], Ends::Close(1007)),
    ];
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        cases.push(case(format!("close code {code}"), &[RawFrame::close(code, "")], Ends::Close(1002)));
    }
    for code in [1001, 1003, 1007, 1009, 1011, 3000, 3999, 4000, 4999] {
        cases.push(case(format!("close code {code}"), &[RawFrame::close(code, "bye")], Ends::Close(code)));
    }
    cases
}

fn utf8() -> Vec<Case> {
    let bad: [(&str, &[u8]); 10] = [
        ("a lone continuation byte", b"\x80"),
        ("0xff", b"{\"type\":\"ping\",\"x\":\"\xff\"}"),
        ("an overlong slash", b"\xc0\xaf"),
        ("an overlong slash of three", b"\xe0\x80\xaf"),
        ("an overlong NUL", b"\xc0\x80"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("over U+10FFFF", b"\xf4\x90\x80\x80"),
        ("five bytes", b"\xf8\x88\x80\x80\x80"),
        ("half a letter", b"\xe2\x82"),
        ("Latin-1", b"{\"type\":\"ping\",\"x\":\"caf\xe9\"}"),
    ];
    let mut cases: Vec<_> =
        bad.iter().map(|(name, bytes)| case(*name, &[text(bytes)], Ends::Close(1007))).collect();
    cases.extend([
        case("bad in the first of two", &[text(b"\xff").more(), rest("x")], Ends::Close(1007)),
        case("bad in the last of two", &[text("x").more(), rest(b"\xff")], Ends::Close(1007)),
        case("a letter broken by a fragment", &[text(b"\xe2\x82").more(), rest("x")], Ends::Close(1007)),
        case("half a letter in the last", &[text("x").more(), rest(b"\xe2\x82")], Ends::Close(1007)),
        case("a surrogate over two", &[text(b"\xed").more(), rest(b"\xa0\x80")], Ends::Close(1007)),
        case(
            "a letter that goes on in the next fragment",
            &[text(b"{\"type\":\"ping\",\"x\":\"\xe2").more(), rest(b"\x82").more(), rest(b"\xac\"}")],
            Ends::Text("pong"),
        ),
    ]);
    cases
}

fn sizes() -> Vec<Case> {
    let big = || Ends::Close(1009);
    let long = |bytes: u64| text("").claiming(127, &bytes.to_be_bytes());
    let mut cases = vec![
        case("the limit", &[text(padded(LIMIT))], Ends::Text("pong")),
        case("one byte over", &[text(padded(LIMIT + 1))], big()),
        case("one byte over, claimed only", &[text("").claiming(126, &16_385_u16.to_be_bytes())], big()),
        case("64 KiB - 1, claimed only", &[text("").claiming(126, &[255, 255])], big()),
        case("one byte over, claimed in 64 bits", &[long(16_385)], big()),
        case("2^31", &[long(1 << 31)], big()),
        case("2^32", &[long(1 << 32)], big()),
        case("2^63 - 1", &[long((1 << 63) - 1)], big()),
        case("2^63", &[long(1 << 63)], big()),
        case("2^64 - 1", &[long(u64::MAX)], big()),
        case("2^64 - 1 in a continuation", &[text("x").more(), rest("").claiming(127, &[255; 8])], big()),
        case("binary over the limit", &[RawFrame::new(BINARY, [0; LIMIT + 1])], big()),
        case("over in two", &[text(padded(LIMIT)).more(), rest(" ")], big()),
    ];
    let whole = padded(LIMIT);
    let mut thousand: Vec<_> = whole.as_bytes().chunks(16).map(|some| rest(some).more()).collect();
    thousand[0] = text(&whole[..16]).more();
    let mut over = thousand.clone();
    thousand.push(rest(""));
    over.push(rest("x"));
    cases.push(case("the limit in a thousand", &thousand, Ends::Text("pong")));
    cases.push(case("over in a thousand", &over, big()));
    cases
}

fn kinds() -> Vec<Case> {
    let binary = || Ends::Close(1003);
    let mut bytewise: Vec<_> = JSON_PING.bytes().map(|byte| rest([byte]).more()).collect();
    bytewise[0] = text("{").more();
    bytewise.push(rest(""));
    vec![
        case("binary JSON", &[RawFrame::new(BINARY, JSON_PING)], binary()),
        case("empty binary", &[RawFrame::new(BINARY, "")], binary()),
        case("binary fragments", &[RawFrame::new(BINARY, "a").more(), rest("b")], binary()),
        case("binary up to the limit", &[RawFrame::new(BINARY, [0; LIMIT])], binary()),
        case("an empty ping", &[RawFrame::new(PING, "")], Ends::Pong(Vec::new())),
        case("the longest ping", &[RawFrame::new(PING, [7; 125])], Ends::Pong(vec![7; 125])),
        case("a pong that nobody asked for", &[RawFrame::new(PONG, "hi")], Ends::Lives),
        case(
            "a ping inside a message",
            &[text("{").more(), RawFrame::new(PING, "p"), rest("}")],
            Ends::Pong(b"p".to_vec()),
        ),
        case(
            "a pong inside a message",
            &[text(&JSON_PING[..5]).more(), RawFrame::new(PONG, ""), rest(&JSON_PING[5..])],
            Ends::Text("pong"),
        ),
        case("empty text", &[text("")], Ends::Text("bad_request")),
        case(
            "empty fragments",
            &[text("").more(), rest("").more(), rest(JSON_PING).more(), rest("")],
            Ends::Text("pong"),
        ),
        case("a byte a fragment", &bytewise, Ends::Text("pong")),
        case("ten messages at once", &vec![text(JSON_PING); 10], Ends::Text("pong")),
        case("a thousand pings", &vec![RawFrame::new(PING, "x"); 1_000], Ends::Pong(b"x".to_vec())),
    ]
}

async fn check(pod: &Pod, stream: &str, Case { name, bytes, ends }: &Case) {
    let mut peer = Peer::watch(pod, stream).await;
    peer.send(bytes).await;
    let heard = match ends {
        Ends::Close(_) | Ends::Bare => peer.hear_until(|_| false).await,
        Ends::Pong(_) => peer.hear_until(|heard| matches!(heard, Heard::Pong(_))).await,
        Ends::Text(part) => {
            peer.hear_until(|heard| matches!(heard, Heard::Text(text) if text.contains(part))).await
        }
        Ends::Lives => Heard::Ping,
    };
    match (ends, &heard) {
        (Ends::Close(code), Heard::Close(Some(heard), _)) => assert_eq!(heard, code, "{name}"),
        (Ends::Bare, Heard::Close(None, _)) | (Ends::Text(_), Heard::Text(_)) | (Ends::Lives, _) => {}
        (Ends::Pong(payload), Heard::Pong(heard)) => assert_eq!(heard, payload, "{name}"),
        _ => panic!("{name}: {heard:?}"),
    }
    if matches!(ends, Ends::Close(_) | Ends::Bare) {
        // Autobahn 7.1: nothing more, and the end of the connection, though the peer does not end it.
        assert_eq!(peer.hear().await, Heard::End, "{name}");
    } else {
        peer.send(&RawFrame::text(r#"{"type":"ping","x":1}"#).bytes()).await;
        let pong = |heard: &Heard| matches!(heard, Heard::Text(text) if text.contains("pong"));
        let heard = peer.hear_until(pong).await;
        assert!(pong(&heard), "{name}: the socket lives, but {heard:?}");
    }
}

/// G14: each broken frame has one close code; nobody else notices.
#[tokio::test]
async fn g14_frames() {
    check_all(Control::begin("frames").await).await;
}

/// The same behind TLS, where the viewer's task writes and the lane does not.
#[tokio::test]
async fn g14_frames_over_tls() {
    check_all(Control::at(over_tls::shared(), "frames").await).await;
}

async fn check_all(control: Control) {
    let cases = cases();
    join_all(cases.iter().map(|case| check(&control.pod, &control.stream, case))).await;
    control.unharmed("frames", cases.len(), 80).await;
}

fn cases() -> Vec<Case> {
    [framing(), closes(), utf8(), sizes(), kinds()].into_iter().flatten().collect()
}

pub(super) fn names() -> Vec<String> {
    cases().into_iter().map(|case| case.name).collect()
}

/// RFC 6455, 5.5.1: nothing follows a close frame.
///
/// Symptom: a comment or a number of viewers behind the answer to a viewer's close, which strict clients log as an error.
/// Cause: the answer ended the viewer's task, while its lane wrote on.
#[tokio::test]
async fn nothing_follows_the_answer_to_a_close() {
    let control = Control::begin("farewell").await;
    let comments = vec![json!({"stream": control.stream, "kind": "comment", "body": "hi"}); 100];
    let comments = json!({"comments": comments});
    let busy = async {
        loop {
            post(control.pod.public, "/v1/comments", &comments).await;
        }
    };
    let farewells = async {
        for round in 0..100 {
            let mut peer = Peer::watch(&control.pod, &control.stream).await;
            peer.hear_until(|heard| matches!(heard, Heard::Text(text) if text.contains("viewers"))).await;
            peer.send(&RawFrame::close(1000, "").bytes()).await;
            assert!(matches!(peer.hear_until(|_| false).await, Heard::Close(Some(1000), _)), "{round}");
            assert_eq!(peer.hear().await, Heard::End, "{round}");
        }
    };
    tokio::select! {
        () = farewells => {}
        () = busy => {}
    }
}

/// Frames may come in any pieces; half a frame and then a cut is no message.
#[tokio::test]
async fn frames_come_in_any_pieces() {
    let control = Control::begin("pieces").await;
    let frame = RawFrame::text(JSON_PING).bytes();
    let mut peer = Peer::watch(&control.pod, &control.stream).await;
    for byte in &frame {
        peer.send(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    let pong = |heard: &Heard| matches!(heard, Heard::Text(text) if text.contains("pong"));
    assert!(pong(&peer.hear_until(pong).await), "byte by byte");
    let mut peer = Peer::connect(control.pod.public).await;
    peer.send(&[Peer::handshake(&control.stream).as_bytes(), &frame, &frame].concat()).await;
    assert!(peer.head().await.is_some_and(|head| head.contains(" 101 ")));
    for _ in 0..2 {
        assert!(pong(&peer.hear_until(pong).await), "right behind the handshake");
    }
    let post = RawFrame::text(r#"{"type":"post","body":"half"}"#).bytes();
    let mut peer = Peer::watch(&control.pod, &control.stream).await;
    peer.send(&post[..post.len() - 1]).await;
    drop(peer);
    control.unharmed("pieces", 3, 3).await;
}
