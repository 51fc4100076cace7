//! G13: whatever a viewer sends, what comes of it is a comment, its own, and in its stream.

use std::{
    cell::Cell,
    future::Future,
    sync::{Arc, Mutex},
};

use fanfare::{
    domain::{
        Accepted, Author, Comment, Desk, Draft, EntryId, Key, Kind, Poster, Publish, PublishError, Right,
        Rights, StreamId, Streams, Viewer,
    },
    protocol::ClientFrame,
    telemetry::Sli,
};
use futures_util::FutureExt as _;
use proptest::{prelude::*, test_runner::TestRunner};

/// Inputs in `make test`; `make verify` sets the variable.
const INPUTS: u32 = 20_000;
const VARIABLE: &str = "FANFARE_TEST_INPUTS";

/// A post, as a shard would get it.
type Sheet = (StreamId, Comment, Option<Key>);

/// Where the desk's posts end.
#[derive(Clone, Default)]
struct Tray(Arc<Mutex<Vec<Sheet>>>);

impl Publish for Tray {
    fn publish(
        &self,
        stream: &StreamId,
        comment: Comment,
        key: Option<Key>,
    ) -> impl Future<Output = Result<Accepted, PublishError>> + Send {
        let id = comment.id;
        self.0.lock().unwrap().push((stream.clone(), comment, key));
        std::future::ready(Ok(Accepted { id, seq: 1, duplicate: false }))
    }
}

/// Words that a forger would use, and any others.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("comment".to_owned()),
        Just("gift".to_owned()),
        Just("follow".to_owned()),
        Just("mission".to_owned()),
        Just("Gift".to_owned()),
        Just("u2".to_owned()),
        Just("Bob".to_owned()),
        Just("cinema".to_owned()),
        Just("post".to_owned()),
        Just("s:shop".to_owned()),
        Just("v:u2".to_owned()),
        "\\PC{0,12}",
    ]
}

/// A value for a field: of the right type, of another, or nested.
fn value() -> impl Strategy<Value = String> {
    let text = || word().prop_map(|word| serde_json::to_string(&word).unwrap());
    let author =
        (word(), word()).prop_map(|(id, name)| serde_json::json!({"id": id, "name": name}).to_string());
    prop_oneof![
        6 => text(),
        2 => author,
        1 => Just("null".to_owned()), 1 => Just("{}".to_owned()), 1 => Just("[]".to_owned()), 1 => Just("1".to_owned()),
        1 => Just("true".to_owned()), 1 => Just("1e400".to_owned()),
        1 => text().prop_map(|text| format!(r#"{{"kind":"gift","author":{text}}}"#)),
    ]
}

/// Names of fields that the server knows anywhere, in this spelling or a similar one.
fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
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
    ])
}

/// A message: mostly a post with fields that have no place in one, sometimes any text.
fn message() -> impl Strategy<Value = String> {
    let fields = prop::collection::vec((name(), value()), 0..6);
    let post = (fields, word(), any::<bool>()).prop_map(|(fields, body, first)| {
        let body = serde_json::to_string(&body).unwrap();
        let own = format!(r#""type":"post","body":{body}"#);
        let others: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let others = others.join(",");
        match (others.is_empty(), first) {
            (true, _) => format!("{{{own}}}"),
            (false, true) => format!("{{{own},{others}}}"),
            (false, false) => format!("{{{others},{own}}}"),
        }
    });
    prop_oneof![9 => post, 1 => "\\PC{0,60}"]
}

/// What a viewer posts by REST: the same draft as a service's.
fn draft() -> impl Strategy<Value = Draft> {
    let kind = prop::sample::select(Kind::ALL.to_vec());
    let author = prop::option::of((word(), word()).prop_map(|(id, name)| Author { id, name }));
    let data = prop::option::of(Just(serde_json::Map::new()));
    (kind, author, prop::option::of(word()), data).prop_map(|(kind, author, body, data)| Draft {
        id: None,
        kind,
        author,
        body,
        data,
    })
}

fn inputs() -> u32 {
    std::env::var(VARIABLE).map_or(INPUTS, |count| count.parse().unwrap())
}

/// No viewer input yields another kind, author or stream, by whichever way it comes.
#[test]
fn g13_no_input_of_a_viewer_yields_another_kind_author_or_stream() {
    let stream: StreamId = "lobby".parse().unwrap();
    let author = Author { id: "u1".into(), name: "Ann".into() };
    let rights =
        [Rights::OPEN, Rights::WATCH, Rights::from_iter([Right::Watch, Right::Post, Right::Moderate])];
    let scopes = [Streams::ALL, Streams::parse(&["lob*"]).unwrap(), Streams::parse(&["cinema"]).unwrap()];
    let (tray, posted_in, tried_in) = (Tray::default(), Cell::new(0_u32), Cell::new(0_u32));
    let desk = Desk::new(tray.clone(), Sli::default());
    let config = ProptestConfig { cases: inputs(), failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new(config);
    let ways = (message(), draft(), 0..rights.len(), 0..scopes.len(), any::<bool>());
    runner
        .run(&ways, |(message, by_rest, right, scope, is_socket)| {
            let (rights, streams) = (rights[right], scopes[scope].clone());
            let may = rights.have(Right::Post) && streams.allow(&stream);
            let viewer = Viewer { author: author.clone(), rights, streams };
            let draft = if is_socket {
                match ClientFrame::decode(&message) {
                    Ok(ClientFrame::Post { draft, .. }) => draft,
                    _ => return Ok(()),
                }
            } else {
                by_rest
            };
            tried_in.set(tried_in.get() + 1);
            let answer = desk.post(Poster::Viewer(&viewer), &stream, draft).now_or_never().unwrap();
            let posted = std::mem::take(&mut *tray.0.lock().unwrap());
            prop_assert_eq!(posted.len(), usize::from(answer.is_ok()));
            for (place, comment, key) in posted {
                prop_assert!(may, "without the right");
                prop_assert_eq!(&place, &stream);
                prop_assert_eq!(
                    (comment.kind, &comment.author, &comment.data),
                    (Kind::Comment, &author, &None)
                );
                prop_assert!(key.is_none_or(|key| key.owner == "v:u1"));
                prop_assert!(comment.id.to_string().parse::<EntryId>().is_ok());
                posted_in.set(posted_in.get() + 1);
            }
            Ok(())
        })
        .unwrap();
    let (posted, tried) = (posted_in.get(), tried_in.get());
    println!("forgery: {} inputs, {tried} posts tried, {posted} posted, all of them proper", inputs());
    assert!(
        posted > inputs() / 50 && tried > inputs() / 4,
        "{posted} of {tried}: the inputs are worth something"
    );
}
