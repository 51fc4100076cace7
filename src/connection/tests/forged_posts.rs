//! A million messages of a viewer: none becomes another kind, another author's, or another stream's (G13).

use std::sync::Arc;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    domain::{
        Accepted, Comment, Draft, EntryId, IdempotencyKey, Kind, Poster, Posting, Publication, Publish,
        PublishError, StreamId, Viewer,
    },
    protocol::ClientFrame,
    telemetry::Sli,
};

const MESSAGES: u32 = 1_000_000;

/// What a forger would name, and what is named rightly.
const NAMES: [&str; 16] = [
    "type",
    "ref",
    "id",
    "kind",
    "body",
    "author",
    "author.id",
    "data",
    "stream",
    "seq",
    "position",
    "rights",
    "session",
    "sub",
    "viewer",
    "KIND",
];
const VALUES: [&str; 18] = [
    r#""post""#,
    r#""comment""#,
    r#""gift""#,
    r#""follow""#,
    r#""mission""#,
    r#""ping""#,
    r#""hi""#,
    r#""\u0067ift""#,
    r#""x-1""#,
    r#"{"id":"bob","name":"bob"}"#,
    r#"{"item":"rose","amount":3}"#,
    r#"["gift"]"#,
    "null",
    "true",
    "7",
    "1e300",
    r#""other""#,
    r#""s:shop""#,
];

/// Keeps the last comment that came through, and how many did.
#[derive(Clone, Default)]
struct Last(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    count: u32,
    last: Option<(StreamId, Comment, Option<IdempotencyKey>)>,
}

impl Publish for Last {
    async fn publish(&self, stream: &StreamId, publication: Publication) -> Result<Accepted, PublishError> {
        let Publication { comment, key, .. } = publication;
        let id = comment.id;
        let mut seen = self.0.lock();
        *seen = Seen { count: seen.count + 1, last: Some((stream.clone(), comment, key)) };
        Ok(Accepted { id, seq: 1, duplicate: false })
    }

    async fn publish_all(&self, _: &StreamId, _: Vec<Publication>) -> Vec<Result<Accepted, PublishError>> {
        unreachable!("a viewer posts one at a time")
    }
}

/// A message that is nearly right: a post with fields that are added, replaced, doubled or broken.
fn message(random: &mut StdRng) -> Vec<u8> {
    let mut text = String::from(r#"{"type":"post","body":"hi""#);
    for _ in 0..random.random_range(0..4) {
        let (name, value) =
            (NAMES[random.random_range(0..NAMES.len())], VALUES[random.random_range(0..VALUES.len())]);
        text.push_str(&format!(r#","{name}":{value}"#));
    }
    text.push('}');
    let mut bytes = text.into_bytes();
    if random.random_ratio(1, 4) {
        let at = random.random_range(0..bytes.len());
        bytes[at] = random.random();
    }
    bytes
}

#[test]
fn g13_no_message_of_a_million_is_another_kind_author_or_stream() {
    let (last, stream): (_, StreamId) = (Last::default(), "lobby".parse().unwrap());
    let posting = Posting::new(last.clone(), Sli::default());
    let viewer = Viewer::open(Some("ann"), &EntryId::random().to_string()).unwrap();
    let mut random = StdRng::seed_from_u64(13);
    let mut posted = 0;
    for _ in 0..MESSAGES {
        let bytes = message(&mut random);
        let Ok(text) = std::str::from_utf8(&bytes) else { continue };
        let Ok(ClientFrame::Post { draft, .. }) = ClientFrame::decode(text) else { continue };
        let Draft { kind, .. } = draft;
        let answer = posting.post(Poster::Viewer(&viewer), &stream, draft).now_or_never().expect("no wait");
        assert_eq!(answer.is_ok(), last.0.lock().count > posted, "{text}");
        if answer.is_ok() {
            let mut seen = last.0.lock();
            posted = seen.count;
            let (of, comment, key) = seen.last.take().expect("what was posted");
            assert!(kind == Kind::Comment && comment.kind == Kind::Comment, "{text}");
            assert!(of == stream && comment.author == viewer.author && comment.data.is_none(), "{text}");
            assert!(key.is_none_or(|key| key.owner == "v:ann"), "{text}");
        }
    }
    assert!(posted > MESSAGES / 10, "{posted} came through: most others were refused for good reason");
}
