//! Every frame that a viewer can be sent, to the letter.

use serde_json::{Map, json};

use super::{
    Code, Entry, Fragment, Hello, Page, ReconnectReason, Resumed, SharedFrame,
    server::{self, ReconnectWait},
};
use crate::domain::{Accepted, Author, Comment, Kind, Position, Refusal, Rights, StreamId};

fn text(frame: &SharedFrame) -> String {
    String::from_utf8(frame.payload().to_vec()).unwrap()
}

fn comment(kind: Kind, data: Option<Map<String, serde_json::Value>>) -> Comment {
    Comment {
        id: "ABCDEFGHIJKLMNOP".parse().unwrap(),
        kind,
        author: Author { id: "u1".into(), name: "Ann \"A\"".into() },
        body: "<b>hi</b>".into(),
        data,
        accepted_at_ms: 99,
    }
}

fn entry(seq: u64) -> Entry {
    Entry {
        ring_epoch: 1,
        epoch: "abcdefgh".parse().unwrap(),
        seq,
        id: "ABCDEFGHIJKLMNOP".parse().unwrap(),
        previous: (seq > 1).then(|| "ponmlkjihgfedcba".parse().unwrap()),
        timeline: None,
        at_ms: 100,
        accepted_at_ms: 99,
        priority: false,
        trace: None,
        fragment: Fragment::of(&comment(Kind::Comment, None)),
    }
}

const OBJECT: &str = r#"{"seq":7,"at":100,"id":"ABCDEFGHIJKLMNOP","kind":"comment","author":{"id":"u1","name":"Ann \"A\""},"body":"<b>hi</b>"}"#;

#[test]
fn hello() {
    let stream: StreamId = "s1".parse().unwrap();
    let hello = server::hello(&Hello {
        stream: &stream,
        session: "x",
        session_secret: None,
        position: Position::start_of("abcdefgh".parse().unwrap()),
        resumed: Resumed::Fresh,
        viewers: 3,
        rights: Rights::OPEN.list(),
        slow_mode_ms: 0,
        closed: false,
        ping_ms: 25_000,
        reconnect: ReconnectWait::DEFAULT,
        pod: "p1",
        track: "blue",
        server_time: 5,
    });
    let expected = concat!(
        r#"{"type":"hello","stream":"s1","session":"x","position":"abcdefgh.0.~","resumed":"fresh","viewers":3,"#,
        r#""rights":["watch","post"],"slow_mode_ms":0,"closed":false,"ping_ms":25000,"#,
        r#""reconnect":{"min_ms":100,"max_ms":3000},"pod":"p1","track":"blue","server_time":5}"#
    );
    assert_eq!(text(&hello), expected);
}

#[test]
fn comments_live_and_again_from_history() {
    let live = server::comment(&entry(7), false);
    let position = "abcdefgh.7.ABCDEFGHIJKLMNOP";
    assert_eq!(
        text(&live.frame),
        format!(r#"{{"type":"comments","comments":[{OBJECT}],"position":"{position}"}}"#)
    );
    assert_eq!(live.object(), OBJECT.as_bytes());

    let single = server::comment(&entry(7), true);
    let expected =
        format!(r#"{{"type":"comments","comments":[{OBJECT}],"position":"{position}","history":true}}"#);
    assert_eq!(text(&single.frame), expected);

    let mut page = Page::default();
    assert!(page.push_live(&live, entry(7).position()) && page.push_entry(&entry(7)));
    let expected = format!(
        r#"{{"type":"comments","comments":[{OBJECT},{OBJECT}],"position":"{position}","history":true}}"#
    );
    assert_eq!(text(&page.finish().unwrap()), expected);
}

#[test]
fn a_gift_carries_its_data() {
    let data = json!({"item": "rose", "amount": 3}).as_object().cloned();
    let fragment = Fragment::of(&comment(Kind::Gift, data));
    let expected = concat!(
        r#""id":"ABCDEFGHIJKLMNOP","kind":"gift","author":{"id":"u1","name":"Ann \"A\""},"#,
        r#""body":"<b>hi</b>","data":{"amount":3,"item":"rose"}"#
    );
    assert_eq!(fragment.bytes(), expected);
}

/// Symptom: a client with the Go library `nhooyr.io/websocket` lost its connection at each join of a busy stream.
/// Cause: the library reads messages of at most 32,768 bytes, and pages of history came as near as a few bytes.
#[test]
fn pages_stay_below_32_000_bytes_and_under_their_limit() {
    let mut page = Page::default();
    let mut pushed = 0;
    while page.push_entry(&entry(pushed + 1)) {
        pushed += 1;
    }
    assert_eq!(page.comments(), usize::try_from(pushed).unwrap());
    let bytes = page.finish().unwrap().payload().len();
    assert!((30 * 1024..=31 * 1024).contains(&bytes) && bytes < 32_000, "{bytes}");
    assert_eq!(Page::default().finish(), None);
}

#[test]
fn everything_else() {
    let id = "ABCDEFGHIJKLMNOP";
    let position = Position::after("abcdefgh".parse().unwrap(), 9, id.parse().unwrap());
    let accepted = Accepted { id: id.parse().unwrap(), seq: 9, duplicate: false };
    let cases = [
        (
            server::skipped(4, position),
            r#"{"type":"skipped","count":4,"position":"abcdefgh.9.ABCDEFGHIJKLMNOP"}"#,
        ),
        (
            server::gap(5, 9, position),
            r#"{"type":"gap","from":5,"to":9,"position":"abcdefgh.9.ABCDEFGHIJKLMNOP"}"#,
        ),
        (server::reset(position), r#"{"type":"reset","position":"abcdefgh.9.ABCDEFGHIJKLMNOP"}"#),
        (
            server::posted(Some("a1"), &accepted),
            r#"{"type":"posted","ref":"a1","id":"ABCDEFGHIJKLMNOP","seq":9,"duplicate":false}"#,
        ),
        (
            server::posted(None, &accepted),
            r#"{"type":"posted","id":"ABCDEFGHIJKLMNOP","seq":9,"duplicate":false}"#,
        ),
        (
            server::error(Some("a1"), Code::BadRequest, "no"),
            r#"{"type":"error","ref":"a1","code":"bad_request","message":"no"}"#,
        ),
        (
            server::error(None, Code::ShardUnavailable, "wait"),
            r#"{"type":"error","code":"shard_unavailable","message":"wait"}"#,
        ),
        (
            server::refused(Some("a1"), &Refusal::RateLimited { retry_ms: 480 }),
            r#"{"type":"error","ref":"a1","code":"rate_limited","message":"too many posts; wait 480 ms","retry_ms":480}"#,
        ),
        (server::viewers(12), r#"{"type":"viewers","viewers":12}"#),
        (
            server::reconnect(5_000, ReconnectReason::Drain),
            r#"{"type":"reconnect","within_ms":5000,"reason":"drain"}"#,
        ),
        (
            server::reconnect(7_000, ReconnectReason::NotAccepting),
            r#"{"type":"reconnect","within_ms":7000,"reason":"not_accepting"}"#,
        ),
        (server::expiring(60_000), r#"{"type":"expiring","in_ms":60000}"#),
        (server::pong(5), r#"{"type":"pong","server_time":5}"#),
    ];
    for (frame, expected) in cases {
        assert_eq!(text(&frame), expected);
    }
    let names: Vec<String> = Code::ALL.iter().map(|code| serde_json::to_string(code).unwrap()).collect();
    assert_eq!(
        names.join(" "),
        concat!(
            r#""bad_request" "too_long" "not_allowed" "bad_token" "token_expired" "not_found" "rate_limited" "id_reused" "#,
            r#""shard_unavailable" "not_accepting""#
        )
    );
}
