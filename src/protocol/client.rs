//! What a viewer may send.

use std::{collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer as _,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

use crate::domain::{BadId, Draft, Kind, Object, PostId};

/// A viewer's message, understood.
#[derive(Debug, PartialEq)]
pub enum ClientFrame {
    /// Post a comment.
    Post {
        /// The viewer's own mark, echoed in the answer.
        reference: Option<String>,
        /// What to post.
        draft: Draft,
    },
    /// Go on with another token.
    Refresh {
        /// The viewer's own mark, echoed if the token is refused.
        reference: Option<String>,
        /// The token, unchecked.
        token: Secret,
    },
    /// Answer with `pong`: browsers cannot see WebSocket pings.
    Ping,
}

/// A text that is shown nowhere, not even in a log.
#[derive(PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A message that is not understood; the viewer is told, and its socket lives on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadFrame {
    /// The viewer's own mark, where it could be read.
    pub reference: Option<String>,
    /// What is wrong, for a person.
    pub message: &'static str,
}

/// The longest `ref` that is echoed, in bytes.
const MAX_REF_BYTES: usize = 64;

/// Every field of every message, as it comes. Strict where it matters: a known field that comes twice or with another
/// type is an error. Other fields are read as JSON values, so that they too keep serde's limits of depth and number.
#[derive(Deserialize)]
struct RawFrame {
    #[serde(rename = "type")]
    kind_of_frame: String,
    #[serde(rename = "ref")]
    reference: Option<String>,
    id: Option<String>,
    kind: Option<Kind>,
    body: Option<String>,
    token: Option<String>,
    #[serde(flatten)]
    unknown: HashMap<String, Value>,
}

impl ClientFrame {
    /// Reads one text message.
    ///
    /// # Errors
    /// [`BadFrame`]: the JSON is broken, its `type` is unknown, or a field has a wrong form.
    pub fn decode(text: &str) -> Result<Self, BadFrame> {
        let Object(raw): Object<RawFrame> = serde_json::from_str(text).map_err(|_| BadFrame {
            reference: readable_ref(text),
            message: "not a JSON message of a known form",
        })?;
        drop(raw.unknown);
        if raw.reference.as_ref().is_some_and(|reference| reference.len() > MAX_REF_BYTES) {
            return Err(BadFrame { reference: None, message: "ref must be at most 64 bytes" });
        }
        let reference = raw.reference;
        match raw.kind_of_frame.as_str() {
            "ping" => Ok(Self::Ping),
            "refresh" => match raw.token {
                Some(token) => Ok(Self::Refresh { reference, token: Secret(token) }),
                None => Err(BadFrame { reference, message: "a refresh has a token" }),
            },
            "post" => match raw.id.map(|id| id.parse()).transpose() {
                Ok(id) => Ok(Self::Post { reference, draft: draft(id, raw.kind, raw.body) }),
                Err(BadId { .. }) => {
                    Err(BadFrame { reference, message: "id must be 1 to 64 printable ASCII characters" })
                }
            },
            _ => Err(BadFrame { reference, message: "unknown type" }),
        }
    }
}

/// Returns the `ref` of a refused message: the only one, a string within the limit. Other fields may have any form,
/// and the text may be broken after it: the client can then tell which of its messages was refused.
fn readable_ref(text: &str) -> Option<String> {
    struct Refs<'a>(&'a mut Vec<Value>);

    impl<'de> Visitor<'de> for Refs<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(name) = map.next_key::<String>()? {
                if name == "ref" {
                    self.0.push(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(())
        }
    }

    let mut refs = Vec::new();
    // An error only ends the search: the refs before it were read.
    let _ = serde_json::Deserializer::from_str(text).deserialize_map(Refs(&mut refs));
    match refs.as_slice() {
        [Value::String(reference)] if reference.len() <= MAX_REF_BYTES => Some(reference.clone()),
        _ => None,
    }
}

fn draft(id: Option<PostId>, kind: Option<Kind>, body: Option<String>) -> Draft {
    Draft { id, kind: kind.unwrap_or(Kind::Comment), author: None, body, data: None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn posts_and_pings_are_understood() {
        assert_eq!(ClientFrame::decode(r#"{"type":"ping"}"#), Ok(ClientFrame::Ping));
        let text = r#"{"type":"post","ref":"a1","id":"x-1","body":"hi","later":{"a":[1]}}"#;
        let draft = Draft { id: Some("x-1".parse().unwrap()), ..Draft::comment("hi") };
        let refresh = ClientFrame::decode(r#"{"type":"refresh","token":"canary"}"#).unwrap();
        assert_eq!(format!("{refresh:?}"), "Refresh { reference: None, token: … }");
        assert_eq!(ClientFrame::decode(text), Ok(ClientFrame::Post { reference: Some("a1".into()), draft }));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let unreadable = "not a JSON message of a known form";
        let deep = format!(r#"{{"type":"ping","x":{}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
        let long_ref = format!(r#"{{"type":"ping","ref":"{}"}}"#, "r".repeat(65));
        let long_id = format!(r#"{{"type":"post","ref":"a","id":"{}","body":"x"}}"#, "i".repeat(65));
        let cases = [
            ("", None, unreadable),
            ("null", None, unreadable),
            ("[]", None, unreadable),
            ("{}", None, unreadable),
            (r#"{"type":1}"#, None, unreadable),
            (r#"{"type":"ping","type":"ping"}"#, None, unreadable),
            (r#"{"type":"post","body":"a","body":"b"}"#, None, unreadable),
            (r#"{"type":"post","body":1}"#, None, unreadable),
            (r#"{"type":"post","body":"\ud800"}"#, None, unreadable),
            (r#"{"type":"post","kind":"emperor","body":"x"}"#, None, unreadable),
            (r#"{"type":"ping","x":1e400}"#, None, unreadable),
            (r#"{"type":"ping","x":NaN}"#, None, unreadable),
            (r#"{"type":"ping"} x"#, None, unreadable),
            (&deep, None, unreadable),
            (&long_ref, None, "ref must be at most 64 bytes"),
            (&long_id, Some("a"), "id must be 1 to 64 printable ASCII characters"),
            (
                r#"{"type":"post","ref":"a","id":"","body":"x"}"#,
                Some("a"),
                "id must be 1 to 64 printable ASCII characters",
            ),
            (r#"{"type":"refresh","ref":"a"}"#, Some("a"), "a refresh has a token"),
            (r#"{"type":"refresh","token":1}"#, None, unreadable),
            (r#"{"type":"refresh","token":"a","token":"a"}"#, None, unreadable),
            (r#"{"type":"dance","ref":"a"}"#, Some("a"), "unknown type"),
            (r#"{"type":"Post","ref":"a"}"#, Some("a"), "unknown type"),
        ];
        for (text, reference, message) in cases {
            let bad = BadFrame { reference: reference.map(str::to_owned), message };
            assert_eq!(ClientFrame::decode(text), Err(bad), "{text}");
        }
    }

    /// Symptom: a client that pipelines posts could not tell which of them was refused. Cause: one failed read of the
    /// whole message gave up its `ref` too, although only another field was bad.
    #[test]
    fn a_refused_message_is_answered_with_its_ref() {
        let deep =
            format!(r#"{{"type":"post","body":{}1{},"ref":"a"}}"#, "[".repeat(5_000), "]".repeat(5_000));
        let refused = [
            r#"{"type":"post","ref":"a","body":1}"#,
            r#"{"type":"post","body":1,"ref":"a"}"#,
            r#"{"type":"post","x":1e400,"ref":"a"}"#,
            r#"{"type":"post","kind":"emperor","ref":"a"}"#,
            r#"{"type":"post","body":"a","body":"b","ref":"a"}"#,
            r#"{"type":1,"ref":"a"}"#,
            r#"{"ref":"a"}"#,
            r#"{"ref":"a","type":"post","body":"\ud800"}"#,
            r#"{"ref":"a","type":"post","body":"cut o"#,
            r#"{"ref":"a","type":"post"} x"#,
            &deep,
        ];
        for text in refused {
            let reference = ClientFrame::decode(text).unwrap_err().reference;
            assert_eq!(reference.as_deref(), Some("a"), "{text}");
        }
        let long = format!(r#"{{"type":1,"ref":"{}"}}"#, "r".repeat(65));
        for text in [r#"{"type":1,"ref":1}"#, r#"{"type":1,"ref":"a","ref":"a"}"#, r#"["post","a"]"#, &long] {
            assert_eq!(ClientFrame::decode(text).unwrap_err().reference, None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,200}|\\{\"type\":\"post\"[\\PC]{0,80}\\}") {
            let _ = ClientFrame::decode(&text);
        }
    }
}
