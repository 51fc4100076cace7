//! The limits that the documents name, at their edges.

use fanfare::{
    domain::{MAX_BODY_BYTES, MAX_BODY_GRAPHEMES, MAX_DATA_BYTES},
    identity::MAX_TOKEN_BYTES,
    protocol::{HISTORY_PAGE_BYTES, MAX_CLIENT_MESSAGE_BYTES},
};
use serde_json::json;
use testkit::{
    Heard, Issuer, Join, Peer, Pod, RawFrame,
    contract::{
        documents::Document,
        observe::{REST, SOCKET},
    },
    get,
    issuer::{claims_with, keyed, service_key},
    opcode::CONTINUATION,
    post, request, stream_for,
};

/// A number that stands in a document.
fn number(document: &Document, place: &str) -> usize {
    usize::try_from(document.at(place).as_u64().unwrap()).unwrap()
}

/// The most characters that a pattern like `^[a-z]{1,64}$` takes.
fn longest(document: &Document, place: &str) -> usize {
    let pattern = document.at(place).as_str().unwrap();
    pattern.split_once("{1,").unwrap().1.split_once('}').unwrap().0.parse().unwrap()
}

/// What the descriptions say in words is what the code holds.
#[test]
fn limits_in_words_are_those_of_the_code() {
    let kib = |bytes: usize| format!("{} KiB", bytes / 1024);
    let socket = SOCKET.at("/info/description").as_str().unwrap();
    let rest = REST.at("/info/description").as_str().unwrap();
    let row = |name: &str| socket.lines().find(|line| line.starts_with(&format!("| {name} |"))).unwrap();
    assert!(row("your message").contains(&kib(MAX_CLIENT_MESSAGE_BYTES)));
    assert!(row("a text message from the server").contains(&kib(HISTORY_PAGE_BYTES)));
    assert!(row("`body`").contains(&format!("1 to {MAX_BODY_GRAPHEMES} characters")));
    assert!(row("`body`").contains(&kib(MAX_BODY_BYTES)) && rest.contains(&kib(MAX_BODY_BYTES)));
    assert!(rest.contains(&format!("{MAX_BODY_GRAPHEMES} characters")));
    assert!(row("a token").contains(&kib(MAX_TOKEN_BYTES)));
    assert_eq!(number(&SOCKET, "/components/schemas/Token/maxLength"), MAX_TOKEN_BYTES);
    assert!(REST.at("/components/schemas/Data/description").as_str().unwrap().contains(&kib(MAX_DATA_BYTES)));
    for (document, place) in [
        (&SOCKET, "/components/messages/post/payload/properties/body/maxLength"),
        (&SOCKET, "/components/schemas/Comment/properties/body/maxLength"),
        (&REST, "/components/schemas/Draft/properties/body/maxLength"),
        (&REST, "/components/schemas/Comment/properties/body/maxLength"),
    ] {
        assert_eq!(number(document, place), MAX_BODY_BYTES);
    }
}

/// What a viewer sends passes at the documented edge, and one more is refused.
#[tokio::test]
async fn a_viewers_limits_are_where_the_document_says() {
    let (pod, stream) = (Pod::shared(), stream_for("edges"));
    let mut viewer = Join::new(&pod, &stream).open().await;
    let of_ref = number(&SOCKET, "/components/messages/post/payload/properties/ref/maxLength");
    let of_id = longest(&SOCKET, "/components/messages/post/payload/properties/id/pattern");
    for (more, kind) in [(0, "posted"), (1, "error")] {
        let answers = viewer.all("posted").count() + viewer.all("error").count();
        viewer.send(json!({"type": "post", "ref": "r".repeat(of_ref + more), "body": "x"}).to_string()).await;
        viewer
            .until("an answer", |viewer| viewer.all("posted").count() + viewer.all("error").count() > answers)
            .await;
        assert_eq!(viewer.all(kind).count(), 1, "ref of {}", of_ref + more);
        assert_eq!(viewer.post(json!({"id": "i".repeat(of_id + more), "body": "x"})).await["type"], kind);
    }
    let of_name = number(&SOCKET, "/components/schemas/Name/maxLength");
    let of_stream = longest(&SOCKET, "/components/schemas/Stream/pattern");
    // Letters of four bytes, so that the bytes are what counts.
    let name = |bytes: usize| "%F0%9F%98%80".repeat(bytes / 4);
    assert!(Join::new(&pod, &stream).named(&name(of_name)).try_open().await.is_some());
    assert!(Join::new(&pod, &stream).named(&name(of_name + 4)).try_open().await.is_none());
    assert!(Join::new(&pod, &"s".repeat(of_stream)).try_open().await.is_some());
    assert!(Join::new(&pod, &"s".repeat(of_stream + 1)).try_open().await.is_none());
}

/// What a backend sends passes at the documented edge, and one more is refused.
#[tokio::test]
async fn a_backends_limits_are_where_the_document_says() {
    let (pod, stream) = (Pod::shared(), stream_for("edges"));
    let path = format!("/v1/streams/{stream}/comments");
    let of_page = number(&REST, "/paths/~1v1~1streams~1{stream}~1comments/get/parameters/1/schema/maximum");
    let of_id = longest(&REST, "/components/schemas/PostId/pattern");
    let of_author = number(&REST, "/components/schemas/Author/properties/id/maxLength");
    let of_name = number(&REST, "/components/schemas/Author/properties/name/maxLength");
    let of_batch = number(&REST, "/components/schemas/Batch/properties/comments/maxItems");
    for (more, [page, keyed, authored, batch]) in [(0, [200, 201, 201, 207]), (1, [400, 400, 422, 422])] {
        assert_eq!(get(pod.public, &format!("{path}?limit={}", of_page + more)).await.status, page);
        let key = "k".repeat(of_id + more);
        let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
        let comment = br#"{"kind":"comment","body":"x"}"#;
        assert_eq!(request(pod.public, "POST", &path, &headers, comment).await.status, keyed);
        let named = |id: usize, name: usize| json!({"kind": "follow", "author": {"id": "u".repeat(id), "name": "\u{1F600}".repeat(name)}});
        assert_eq!(post(pod.public, &path, &named(of_author + more, 1)).await.status, authored);
        assert_eq!(post(pod.public, &path, &named(1, of_name / 4 + more)).await.status, authored);
        let line = json!({"stream": stream, "kind": "follow"});
        let lines = json!({"comments": vec![line; of_batch + more]});
        assert_eq!(post(pod.public, "/v1/comments", &lines).await.status, batch);
    }
}

/// A token passes at the documented edge, and one byte more is refused; so does the id of a user who is revoked.
#[tokio::test]
async fn the_limits_of_tokens_and_users_are_where_the_documents_say() {
    let (issuer, stream) = (Issuer::create(), stream_for("edges"));
    let pod = keyed(&issuer, &[]);
    let most = number(&SOCKET, "/components/schemas/Token/maxLength");
    // Three bytes are four letters, so that every length but one in four can be had.
    let tokens =
        (0..4_096).map(|fill| issuer.good(&claims_with("ann", &serde_json::json!({"x": "y".repeat(fill)}))));
    let (fits, over): (Vec<_>, Vec<_>) = tokens.partition(|token| token.len() <= most);
    let (longest, shortest) = (fits.last().unwrap(), over.first().unwrap());
    assert!(
        longest.len() >= most - 1 && shortest.len() <= most + 2,
        "{} and {}",
        longest.len(),
        shortest.len()
    );
    assert!(Join::new(&pod, &stream).bearing(longest).try_open().await.is_some());
    assert!(Join::new(&pod, &stream).bearing(shortest).try_open().await.is_none());
    let of_user = number(&REST, "/paths/~1v1~1viewers~1{author}/delete/parameters/0/schema/maxLength");
    let bearer = format!("Bearer {}", service_key("all"));
    for (more, status) in [(0, 204), (1, 400)] {
        let path = format!("/v1/viewers/{}", "u".repeat(of_user + more));
        let answer = request(pod.public, "DELETE", &path, &[("authorization", &bearer)], b"").await;
        assert_eq!(answer.status, status);
    }
}

/// A message comes in as many fragments as the document says, and in no more.
#[tokio::test]
async fn a_message_has_as_many_fragments_as_the_document_says() {
    let (pod, stream) = (Pod::shared(), stream_for("fragments"));
    let codes = SOCKET.at("/channels/watch/x-close-codes").as_array().unwrap();
    let flood = codes.iter().find(|row| row["code"] == 1008).unwrap()["when"].as_str().unwrap();
    let most = flood.split("more than ").nth(1).unwrap().split(' ').next().unwrap().replace(',', "");
    let most: usize = most.parse().unwrap();
    for fragments in [most, most + 1] {
        let mut frames = vec![RawFrame::text(r#"{"type":"ping"}"#).more()];
        frames.resize(fragments - 1, RawFrame::new(CONTINUATION, "").more());
        frames.push(RawFrame::new(CONTINUATION, ""));
        let mut peer = Peer::watch(&pod, &stream).await;
        peer.send(&frames.iter().flat_map(RawFrame::bytes).collect::<Vec<_>>()).await;
        let pong = |heard: &Heard| matches!(heard, Heard::Text(text) if text.contains("pong"));
        let heard = peer.hear_until(pong).await;
        assert_eq!(pong(&heard), fragments == most, "{fragments}: {heard:?}");
    }
}
