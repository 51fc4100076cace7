//! G13: whatever a viewer sends, what comes of it is a comment, its own, and in its stream.

use std::{
    future::Future,
    sync::{Arc, Mutex},
};

use fanfare::{
    domain::{
        Accepted, Author, Comment, Draft, IdempotencyKey, Kind, Poster, Posting, Publication, Publish,
        PublishError, Right, Rights, StreamId, StreamPatterns, Viewer,
    },
    protocol::ClientFrame,
    telemetry::Sli,
};
use futures_util::FutureExt as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Map, json};

/// Inputs in `make test`; `make verify` sets the variable.
const INPUTS: u32 = 50_000;
const VARIABLE: &str = "FANFARE_TEST_INPUTS";

/// A post, as a shard would get it.
type Sheet = (StreamId, Comment, Option<IdempotencyKey>);

/// The end of what was posted.
#[derive(Clone, Default)]
struct Tray(Arc<Mutex<Vec<Sheet>>>);

impl Publish for Tray {
    fn publish(
        &self,
        stream: &StreamId,
        publication: Publication,
    ) -> impl Future<Output = Result<Accepted, PublishError>> + Send {
        let Publication { comment, key, .. } = publication;
        let id = comment.id;
        self.0.lock().unwrap().push((stream.clone(), comment, key));
        std::future::ready(Ok(Accepted { id, seq: 1, duplicate: false }))
    }

    async fn publish_all(
        &self,
        stream: &StreamId,
        publications: Vec<Publication>,
    ) -> Vec<Result<Accepted, PublishError>> {
        let mut answers = Vec::new();
        for publication in publications {
            answers.push(self.publish(stream, publication).await);
        }
        answers
    }
}

/// Words that a forger would use.
const WORDS: [&str; 14] = [
    "comment",
    "gift",
    "follow",
    "mission",
    "Gift",
    "u2",
    "Bob",
    "cinema",
    "post",
    "s:shop",
    "v:u2",
    "",
    "*",
    "\u{202e}gift\0",
];
/// Names of fields that the server knows anywhere, in this spelling or a similar one.
const NAMES: [&str; 24] = [
    "type",
    "ref",
    "id",
    "kind",
    "body",
    "token",
    "author",
    "data",
    "stream",
    "streams",
    "rights",
    "name",
    "sub",
    "seq",
    "at",
    "Kind",
    "KIND",
    "ki\\u006ed",
    "author.id",
    "author[id]",
    "__proto__",
    "draft",
    "comment",
    "priority",
];
const ODD: [&str; 8] =
    ["null", "{}", "[]", "1", "true", "1e400", "\"", r#"{"kind":"gift","author":{"id":"u2"}}"#];

/// Makes inputs; the same ones for a seed.
struct Forger(StdRng);

impl Forger {
    fn one_in(&mut self, of: u32) -> bool {
        self.0.random_range(0..of) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.0.random_range(0..all.len())]
    }

    fn word(&mut self) -> String {
        if self.one_in(4) {
            let letters = self.0.random_range(0..12);
            return (0..letters).map(|_| self.0.random::<char>()).collect();
        }
        self.of(&WORDS).to_owned()
    }

    fn value(&mut self) -> String {
        match self.0.random_range(0..8) {
            0 => self.of(&ODD).to_owned(),
            1 => json!({"id": self.word(), "name": self.word()}).to_string(),
            _ => json!(self.word()).to_string(),
        }
    }

    /// Mostly a post with fields that have no place in one, sometimes any text.
    fn message(&mut self) -> String {
        if self.one_in(20) {
            return self.word();
        }
        let mut fields = vec![r#""type":"post""#.to_owned(), format!(r#""body":{}"#, json!(self.word()))];
        for _ in 0..self.0.random_range(0..4) {
            let (name, value) = (self.of(&NAMES), self.value());
            let place = self.0.random_range(0..=fields.len());
            fields.insert(place, format!("\"{name}\":{value}"));
        }
        format!("{{{}}}", fields.join(","))
    }

    /// What a viewer posts by REST: any draft that a service may post.
    fn draft(&mut self) -> Draft {
        Draft {
            id: None,
            kind: if self.one_in(2) { Kind::Comment } else { self.of(&Kind::ALL) },
            author: self.one_in(3).then(|| Author { id: self.word(), name: self.word() }),
            body: (!self.one_in(8)).then(|| self.word()),
            data: self.one_in(3).then(Map::new),
        }
    }

    /// What comes of an input, by whichever way.
    fn input(&mut self) -> (String, Option<Draft>) {
        if self.one_in(4) {
            let draft = self.draft();
            return (format!("{draft:?}"), Some(draft));
        }
        let message = self.message();
        match ClientFrame::decode(&message) {
            Ok(ClientFrame::Post { draft, .. }) => (message, Some(draft)),
            _ => (message, None),
        }
    }
}

/// No viewer input yields another kind, author or stream, by whichever way it comes.
#[test]
fn g13_no_input_of_a_viewer_yields_another_kind_author_or_stream() {
    let inputs: u32 = std::env::var(VARIABLE).map_or(INPUTS, |count| count.parse().unwrap());
    let seed = rand::random();
    let mut forger = Forger(StdRng::seed_from_u64(seed));
    let stream: StreamId = "lobby".parse().unwrap();
    let author = Author { id: "u1".into(), name: "Ann".into() };
    let rights = [Rights::OPEN, Rights::WATCH, Rights::from_iter([Right::Post, Right::Moderate])];
    let scopes = [
        StreamPatterns::ALL,
        StreamPatterns::parse(&["lob*"]).unwrap(),
        StreamPatterns::parse(&["cinema"]).unwrap(),
    ];
    let tray = Tray::default();
    let posting = Posting::new(tray.clone(), Sli::default());
    let (mut tried, mut posted) = (0, 0);
    for number in 0..inputs {
        let (rights, scope) = (forger.of(&rights), forger.0.random_range(0..scopes.len()));
        let viewer = Viewer { author: author.clone(), rights, streams: scopes[scope].clone() };
        let may = rights.have(Right::Post) && viewer.streams.allow(&stream);
        let (input, draft) = forger.input();
        let Some(draft) = draft else { continue };
        tried += 1;
        let answer = posting.post(Poster::Viewer(&viewer), &stream, draft).now_or_never().unwrap();
        let sheets = std::mem::take(&mut *tray.0.lock().unwrap());
        let told = format!("input {number} of seed {seed}: {input}");
        assert_eq!(sheets.len(), usize::from(answer.is_ok()), "{told}");
        for (place, comment, key) in sheets {
            assert!(may && place == stream, "{told}");
            assert_eq!(
                (comment.kind, &comment.author, &comment.data),
                (Kind::Comment, &author, &None),
                "{told}"
            );
            assert!(key.is_none_or(|key| key.owner == "v:u1"), "{told}");
            posted += 1;
        }
    }
    println!("forgery: {inputs} inputs, {tried} posts tried, {posted} posted, each its poster's own comment");
    assert!(
        posted > inputs / 50 && tried > inputs / 4,
        "{posted} of {tried}: the inputs are worth something"
    );
}
