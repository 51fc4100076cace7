//! The scanner against `serde_json` on frames that a seeded generator makes, and on broken ones.

use serde_json::{Value, json};

use super::*;
use crate::{base::rng::Rng, protocol::mark::PostId};

const WORDS: [&str; 8] =
    ["", "plain", "quote \" and \\", "\u{1F600}", "line\nfeed", "{\"seq\":9}", "\\\"}],", "\u{0000}é"];

fn any_value(rng: &mut Rng, depth: u64) -> Value {
    match rng.below(if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => json!(rng.below(2) == 0),
        2 => json!(rng.next() as i64),
        3 => json!(rng.below(1000) as f64 / 7.0),
        4 => json!(word(rng)),
        5 => (0..rng.below(4)).map(|_| any_value(rng, depth - 1)).collect(),
        _ => (0..rng.below(4)).map(|i| (format!("{}{i}", word(rng)), any_value(rng, depth - 1))).collect(),
    }
}

fn word(rng: &mut Rng) -> &'static str {
    WORDS[rng.below(WORDS.len() as u64) as usize]
}

/// An object's text with its fields in a shuffled order, unknown ones between, and odd white space.
fn text(rng: &mut Rng, mut fields: Vec<(&str, String)>) -> String {
    if rng.below(2) == 0 {
        fields.push(("a_newer_field", any_value(rng, 3).to_string()));
    }
    for last in (1..fields.len()).rev() {
        fields.swap(last, rng.below(last as u64 + 1) as usize);
    }
    let space = ["", " ", "\n\t "][rng.below(3) as usize];
    let fields: Vec<String> =
        fields.iter().map(|(key, value)| format!("{space}\"{key}\"{space}:{space}{value}{space}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn comment(rng: &mut Rng) -> String {
    let id = json!(format!("{:x}", rng.next())).to_string();
    let seq = rng.below(1 << 53).to_string();
    if rng.below(8) == 0 {
        return text(rng, vec![("id", id), ("seq", seq), ("removed", "true".into())]);
    }
    let mark =
        Mark { run: 7, stream: 3, post: PostId::comment(rng.below(9) as u32), due_us: rng.below(1 << 40) };
    let body = if rng.below(4) == 0 { word(rng).to_owned() } else { mark.body(rng.below(300) as usize) };
    let author = any_value(rng, 2).to_string();
    let data = any_value(rng, 3).to_string();
    let fields = vec![
        ("id", id),
        ("seq", seq),
        ("kind", "\"comment\"".into()),
        ("author", author),
        ("body", json!(body).to_string()),
        ("data", data),
        ("at", rng.below(1 << 45).to_string()),
    ];
    text(rng, fields)
}

/// What `serde_json` makes of the comments.
fn slowly(parsed: &Value) -> Vec<Entry> {
    let comments = parsed["comments"].as_array().unwrap();
    let entry = |comment: &Value| Entry {
        seq: comment["seq"].as_u64().unwrap(),
        digest: digest(comment["id"].as_str().unwrap().as_bytes()),
        removed: comment["removed"].as_bool().unwrap_or(false),
        mark: comment["body"].as_str().and_then(|body| Mark::parse(body.as_bytes())),
    };
    comments.iter().map(entry).collect()
}

#[test]
fn agrees_with_serde_json_on_generated_frames() {
    let mut rng = Rng::new(20_240_611);
    let mut entries = Vec::new();
    for _ in 0..3000 {
        let comments: Vec<String> = (0..1 + rng.below(5)).map(|_| comment(&mut rng)).collect();
        let history = rng.below(2) == 0;
        let fields = vec![
            ("type", "\"comments\"".into()),
            ("comments", format!("[{}]", comments.join(" , "))),
            ("position", "\"e1.42\"".into()),
            ("history", history.to_string()),
        ];
        let frame = text(&mut rng, fields);
        let parsed: Value = serde_json::from_str(&frame).unwrap();
        let scanned = scan(&frame, &mut entries).unwrap_or_else(|_| panic!("refused {frame}"));
        assert_eq!(scanned.kind, Kind::Comments);
        assert_eq!(scanned.position, Some("e1.42".as_bytes()));
        assert_eq!(scanned.history, history);
        assert_eq!(entries, slowly(&parsed), "{frame}");
    }
}

#[test]
fn every_cut_of_a_frame_is_refused() {
    let mut rng = Rng::new(5);
    let mut entries = Vec::new();
    let fields = vec![
        ("type", "\"comments\"".into()),
        ("comments", format!("[{}]", comment(&mut rng))),
        ("position", "\"p\"".into()),
    ];
    let frame = text(&mut rng, fields);
    for end in (0..frame.trim_end().len()).filter(|end| frame.is_char_boundary(*end)) {
        assert_eq!(scan(&frame[..end], &mut entries), Err(Malformed));
    }
    assert_eq!(scan(&(frame + "x"), &mut entries), Err(Malformed));
}

#[test]
fn rare_frames_are_read() {
    let mut entries = Vec::new();
    let mut read = |text: &'static str| scan(text, &mut entries);
    let skipped = read(r#"{"type":"skipped","count":12,"position":"a.1"}"#).unwrap();
    assert_eq!((skipped.kind, skipped.count, skipped.position), (Kind::Skipped, Some(12), Some(&b"a.1"[..])));
    let posted = read(r#"{"type":"posted","ref":"r1","id":"x","seq":3,"duplicate":true}"#).unwrap();
    assert_eq!((posted.kind, posted.reference, posted.seq), (Kind::Posted, Some(&b"r1"[..]), Some(3)));
    assert!(posted.duplicate);
    assert_eq!(read(r#"{"type":"from_tomorrow","x":[{}]}"#).unwrap().kind, Kind::Unknown);
    assert_eq!(read(r#"{"type":"viewers","viewers":7}"#).unwrap().kind, Kind::Notice);
}

#[test]
fn frames_without_what_their_type_needs_are_refused() {
    let deep = format!(r#"{{"type":"pong","x":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
    let broken = [
        "",
        "null",
        "[]",
        "{}",
        "{\"type\":7}",
        r#"{"type":"comments","comments":[],"position":"p"}"#,
        r#"{"type":"comments","comments":[{"id":"a","seq":1,"body":"b","at":1}]}"#,
        r#"{"type":"comments","comments":[{"id":"a","body":"b","at":1}],"position":"p"}"#,
        r#"{"type":"comments","comments":[{"id":"a","seq":-1,"body":"b","at":1}],"position":"p"}"#,
        r#"{"type":"comments","comments":[{"id":"a","seq":1.5,"body":"b","at":1}],"position":"p"}"#,
        r#"{"type":"comments","comments":[{"id":"a","seq":99999999999999999999,"body":"b","at":1}],"position":"p"}"#,
        r#"{"type":"skipped","position":"p"}"#,
        r#"{"type":"posted","id":"x","seq":3}"#,
        r#"{"type":"hello","position":"p"}"#,
        r#"{"type":"pong",}"#,
        r#"{"type":"pong" "x":1}"#,
        &deep,
    ];
    for text in broken {
        assert_eq!(scan(text, &mut Vec::new()), Err(Malformed), "{text}");
    }
}
