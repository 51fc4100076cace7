//! Texts of comments: what is stored, and what is refused. Stored text is text; who displays it escapes it.

use serde_json::json;
use testkit::{Join, post};

use super::Control;

/// A text as posted, and as stored or why it was refused.
type Case = (&'static str, String, Result<String, &'static str>);

fn kept(name: &'static str, text: impl Into<String>) -> Case {
    let text = text.into();
    (name, text.clone(), Ok(text))
}

fn cleaned(name: &'static str, raw: impl Into<String>, clean: impl Into<String>) -> Case {
    (name, raw.into(), Ok(clean.into()))
}

fn refused(name: &'static str, raw: impl Into<String>, code: &'static str) -> Case {
    (name, raw.into(), Err(code))
}

fn stored() -> Vec<Case> {
    vec![
        cleaned("NUL", "nul\0nul", "nulnul"),
        cleaned("an escape sequence", "a\u{1b}[31mred", "a[31mred"),
        cleaned("a bell and a backspace", "a\u{7}b\u{8}c", "abc"),
        cleaned("DEL", "a\u{7f}b", "ab"),
        cleaned("C1 controls", "a\u{9b}31m\u{90}b", "a31mb"),
        cleaned("line ends", "a\r\nb\nc", "a  b c"),
        cleaned("tabs", "a\tb\u{b}c", "a b c"),
        cleaned("line and paragraph separators", "a\u{2028}b\u{2029}c", "a b c"),
        cleaned("spaces around", "  \u{3000}hi \u{a0}", "hi"),
        cleaned("a right-to-left override", "\u{202e}live\u{202c}", "live"),
        cleaned("an unclosed embedding", "a\u{202b}b", "ab"),
        cleaned("isolates", "\u{2066}a\u{2067}b\u{2068}c\u{2069}", "abc"),
        cleaned("letter and accent", "e\u{301}", "é"),
        cleaned("Hangul in pieces", "\u{1112}\u{1161}\u{11ab}", "한"),
        cleaned("the Kelvin sign", "\u{212a}", "K"),
        cleaned(
            "a thousand marks",
            format!("z{}!", "\u{334}".repeat(800)),
            format!("z{}!", "\u{334}".repeat(8)),
        ),
        cleaned(
            "marks with joiners between",
            format!("z{}!", format!("{}\u{200d}", "\u{334}".repeat(8)).repeat(20)),
            format!("z{}{}!", "\u{334}".repeat(8), "\u{200d}".repeat(20)),
        ),
        cleaned("deprecated format characters", "a\u{206a}b\u{206f}c", "abc"),
        kept("eight marks", format!("z{}", "\u{334}".repeat(8))),
        kept("a family", "👩\u{200d}👩\u{200d}👧"),
        kept("a flag of Scotland", "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}"),
        kept("Persian with a non-joiner", "می\u{200c}خواهم"),
        kept("Arabic", "مرحبا"),
        kept("Thai", "น้ำ"),
        kept("markup", "<script>alert(1)</script>"),
        kept("an image", "\"><img src=x onerror=alert(1)>"),
        kept("SQL", "'; DROP TABLE comments; --"),
        kept("a template", "{{7*7}} ${7*7} %s %n"),
        kept("JSON", r#"{"type":"comments","comments":[]}"#),
        kept("a quote and a backslash", r#"" \ \" \u0041"#),
        kept("Redis commands", "*1 $8 FLUSHALL"),
        kept("a script's separator", "a\u{feff}b"),
        kept("the last character", "\u{10ffff}"),
        kept("a noncharacter", "a\u{ffff}"),
        kept("500 letters", "x".repeat(500)),
        kept("500 letters of two bytes", "é".repeat(500)),
        kept("500 emoji", "😀".repeat(500)),
        kept(
            "2 KiB in few letters",
            format!("{}{}", "👩\u{200d}👩\u{200d}👧\u{200d}👧\u{200d}👧".repeat(63), "x".repeat(32)),
        ),
    ]
}

fn not_stored() -> Vec<Case> {
    vec![
        refused("nothing", "", "bad_request"),
        refused("a space", " ", "bad_request"),
        refused("2,000 spaces", " ".repeat(2_000), "bad_request"),
        refused("line ends only", "\n".repeat(500), "bad_request"),
        refused("controls only", "\0\u{1}\u{2}\u{1b}", "bad_request"),
        refused("zero width only", "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}", "bad_request"),
        refused("overrides only", "\u{202e}\u{202d}", "bad_request"),
        refused("marks only", "\u{301}\u{302}", "bad_request"),
        refused("a Hangul filler", "\u{3164}", "bad_request"),
        refused("tags only", "\u{e0041}\u{e0042}", "bad_request"),
        refused("501 letters", "x".repeat(501), "too_long"),
        refused("501 emoji", "😀".repeat(501), "too_long"),
        refused("2 KiB and a byte", "x".repeat(2_049), "too_long"),
        refused("5,000 line ends", "\n".repeat(5_000), "too_long"),
        refused("10 kB of marks", format!("a{}", "\u{334}".repeat(5_000)), "too_long"),
        refused("letters that grow", "\u{fb2c}".repeat(682), "too_long"),
    ]
}

pub(super) fn names() -> Vec<String> {
    [stored(), not_stored()].concat().into_iter().map(|(name, ..)| name.to_owned()).collect()
}

/// G14 and README "Watching": each text by WebSocket and by REST is stored or refused alike.
#[tokio::test]
async fn g14_texts() {
    let mut control = Control::begin("text").await;
    let mut poster = Join::new(&control.pod, &control.stream).open().await;
    let cases = [stored(), not_stored()].concat();
    let path = format!("/v1/streams/{}/comments", control.stream);
    for (name, raw, expected) in &cases {
        let by_socket = poster.post(json!({"body": raw})).await;
        let by_rest = post(control.pod.public, &path, &json!({"kind": "comment", "body": raw})).await;
        match expected {
            Ok(clean) => {
                assert_eq!(
                    (&by_socket["type"], by_rest.status),
                    (&json!("posted"), 201),
                    "{name}: {by_socket}"
                );
                let rest_seq = by_rest.json()["seq"].as_u64().unwrap();
                control.viewer.until(name, |viewer| viewer.seqs().last() == Some(&rest_seq)).await;
                let last_two = &control.viewer.seen[control.viewer.seen.len() - 2..];
                assert!(last_two.iter().all(|seen| seen.body == *clean), "{name}: {last_two:?}");
            }
            Err(code) => {
                assert_eq!(
                    (&by_socket["type"], &by_socket["code"]),
                    (&json!("error"), &json!(code)),
                    "{name}"
                );
                by_rest.assert_problem(422, code);
            }
        }
    }
    let huge = json!({"type": "post", "body": "x".repeat(16 * 1024 - 50)}).to_string();
    poster.send(huge).await;
    poster
        .until("too long", |poster| {
            poster.all("error").last().is_some_and(|error| error["code"] == "too_long")
        })
        .await;
    // Over what a WebSocket takes in a message, by REST alone.
    let lines =
        post(control.pod.public, &path, &json!({"kind": "comment", "body": "\n".repeat(10_000)})).await;
    lines.assert_problem(422, "too_long");
    let long =
        post(control.pod.public, &path, &json!({"kind": "comment", "body": "x".repeat(100_000)})).await;
    long.assert_problem(413, "too_long");
    control.unharmed("texts", cases.len() + 3, 30).await;
}
