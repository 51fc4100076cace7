//! Watching and posting: what viewers are promised while everybody behaves.

mod lagging;
mod resuming;

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::{Join, PATIENCE, Pod, RedisServer, Viewer, eventually, post, request, stream_for};

use super::backend;

/// README "Watching", `hello`: first, with every field; an empty stream has no history.
#[tokio::test]
async fn a_fresh_viewer_is_greeted() {
    let (pod, stream) = (backend::shared(), stream_for("greeting"));
    let mut viewer = Join::new(&pod, &stream).named("ann").open().await;
    assert_eq!(viewer.log.len(), 1, "hello is first");
    let hello = viewer.hello().clone();
    assert_eq!(
        (&hello["stream"], &hello["resumed"], &hello["viewers"]),
        (&json!(stream), &json!("fresh"), &json!(1))
    );
    assert_eq!(
        (&hello["rights"], &hello["closed"], &hello["slow_mode_ms"]),
        (&json!(["watch", "post"]), &json!(false), &json!(0))
    );
    assert_eq!(
        (&hello["ping_ms"], &hello["pod"], &hello["track"]),
        (&json!(25_000), &json!("pod-under-test"), &json!("blue"))
    );
    assert!(hello["reconnect"]["min_ms"].as_u64() < hello["reconnect"]["max_ms"].as_u64(), "{hello}");
    assert!(
        hello["server_time"].is_u64() && hello["session"].as_str().is_some_and(|session| !session.is_empty())
    );
    let position = hello["position"].as_str().unwrap();
    assert!(
        position.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte)),
        "{position}"
    );
    viewer.ping().await;
    assert!(!viewer.has("comments"), "no history of a stream without comments");
}

/// README "Watching", `comments`: history is the newest 50, in frames of at most 31 KiB, before anything live.
#[tokio::test]
async fn history_comes_in_pages_before_live_comments() {
    let (pod, stream) = (backend::shared(), stream_for("pages"));
    // 400 letters of four bytes: about 1.8 KB a comment.
    pod.fill(&stream, 60, &"\u{1F600}".repeat(400)).await;
    let mut viewer = Join::new(&pod, &stream).open().await;
    viewer.comments(50).await;
    viewer.say("live").await;
    viewer.comments(51).await;
    viewer.assert_contiguous(11);
    let pages: Vec<_> = viewer.log.iter().filter(|frame| frame.is("comments")).collect();
    let (live, pages) = pages.split_last().unwrap();
    assert!(live.json["history"].is_null() && live.json["comments"][0]["body"] == "live");
    assert!(
        pages.len() > 1 && pages.iter().all(|page| page.json["history"] == true && page.bytes <= 31 * 1024)
    );
    let start = viewer.hello()["position"].as_str().unwrap();
    let mut again = Join::new(&pod, &stream).after(start).open().await;
    again.comments(51).await;
    assert_eq!(again.seen, viewer.seen, "hello's position is the place before the first frame");
}

/// The main job: a comment reaches every viewer of its stream, whoever posted it, and nobody else.
#[tokio::test]
async fn a_comment_reaches_every_viewer_of_its_stream_and_nobody_else() {
    let (pod, stream, other) = (backend::shared(), stream_for("here"), stream_for("there"));
    let mut viewers = join_all((0..20).map(|_| async { Join::new(&pod, &stream).open().await })).await;
    let mut stranger = Join::new(&pod, &other).open().await;
    let by_socket = viewers[0].say("by socket").await;
    let by_rest = pod.post(&stream, "by REST").await;
    assert_eq!((by_socket, &by_rest["seq"]), (1, &json!(2)));
    for viewer in &mut viewers {
        viewer.comments(2).await;
        let bodies: Vec<_> = viewer.seen.iter().map(|seen| seen.body.as_str()).collect();
        assert_eq!((viewer.seqs(), bodies), (vec![1, 2], vec!["by socket", "by REST"]));
        assert_eq!(viewer.seen[1].id, by_rest["id"].as_str().unwrap());
    }
    stranger.ping().await;
    assert!(stranger.seen.is_empty());
}

/// G13 and README "Watching": the server alone says who the author is and what kind it is.
#[tokio::test]
async fn a_comment_has_its_documented_form() {
    let (pod, stream) = (backend::shared(), stream_for("form"));
    let mut ann = Join::new(&pod, &stream).named("ann").open().await;
    let posted = ann
        .post(json!({"body": " hi ", "id": "mine", "author": {"id": "bob", "name": "bob"}, "at": 1}))
        .await;
    assert_eq!(
        (&posted["type"], &posted["seq"], &posted["duplicate"]),
        (&json!("posted"), &json!(1), &json!(false))
    );
    ann.comments(1).await;
    let comment = &ann.all("comments").next().unwrap()["comments"][0];
    let expected = json!({
        "id": posted["id"], "seq": 1, "kind": "comment", "author": {"id": "ann", "name": "ann"}, "body": "hi", "at": comment["at"],
    });
    assert_eq!(comment, &expected, "and the idempotency id is not echoed");
    let gift =
        json!({"kind": "gift", "author": {"id": "u7", "name": "Rui"}, "data": {"item": "rose", "amount": 3}});
    let answer = post(pod.public, &format!("/v1/streams/{stream}/comments"), &gift).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    ann.comments(2).await;
    let comment = &ann.all("comments").nth(1).unwrap()["comments"][0];
    assert_eq!(
        (&comment["kind"], &comment["author"], &comment["data"]),
        (&gift["kind"], &gift["author"], &gift["data"])
    );
    for forged in ["gift", "follow", "mission"] {
        let answer = ann.post(json!({"kind": forged, "body": "x"})).await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("not_allowed")));
    }
}

/// README "Watching", `viewers`: told when the number changes, at most once every 2 s.
#[tokio::test]
async fn viewers_are_counted() {
    let (pod, stream) = (backend::shared(), stream_for("counted"));
    let mut first = Join::new(&pod, &stream).open().await;
    let second = Join::new(&pod, &stream).open().await;
    assert_eq!(second.hello()["viewers"], 2);
    let count = |viewer: &Viewer| viewer.all("viewers").last().map(|frame| frame["viewers"].clone());
    first.until("two viewers", |viewer| count(viewer) == Some(json!(2))).await;
    let attributes = pod.get(&format!("/v1/streams/{stream}")).await.json();
    assert_eq!(attributes["viewers"], 2);
    drop(second);
    first.until("one viewer", |viewer| count(viewer) == Some(json!(1))).await;
    assert!(first.all("viewers").count() <= 3, "and not more often than it changes");
}

/// README "Watching", `pong`: the server answers a `ping` with its time.
#[tokio::test]
async fn a_ping_is_answered_with_the_time() {
    let pod = backend::shared();
    let mut viewer = Join::new(&pod, &stream_for("ping")).open().await;
    viewer.ping().await;
    let told = viewer.all("pong").next().unwrap()["server_time"].as_u64().unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    assert!(now.abs_diff(told.into()) < PATIENCE.as_millis(), "{told}, {now}");
}

/// G6 over WebSockets: the same id and body is one comment, another body is refused, authors never collide.
#[tokio::test]
async fn g6_a_repeated_post_by_socket_is_one_comment() {
    let (pod, stream) = (backend::shared(), stream_for("again"));
    let mut ann = Join::new(&pod, &stream).named("ann").open().await;
    let first = ann.post(json!({"id": "x", "body": "hi"})).await;
    drop(ann);
    let mut ann = Join::new(&pod, &stream).named("ann").open().await;
    let again = ann.post(json!({"id": "x", "body": "hi"})).await;
    assert_eq!(
        (&again["seq"], &again["id"], &again["duplicate"]),
        (&first["seq"], &first["id"], &json!(true))
    );
    let reused = ann.post(json!({"id": "x", "body": "ho"})).await;
    assert_eq!((&reused["type"], &reused["code"]), (&json!("error"), &json!("id_reused")));
    for name in ["bob", "s:open", "open"] {
        let mut other = Join::new(&pod, &stream).named(name).open().await;
        let theirs = other.post(json!({"id": "x", "body": "hi"})).await;
        assert_eq!((&theirs["type"], &theirs["duplicate"]), (&json!("posted"), &json!(false)), "{name}");
    }
    let mut elsewhere = Join::new(&pod, &stream_for("again")).named("ann").open().await;
    assert_eq!(
        elsewhere.post(json!({"id": "x", "body": "hi"})).await["duplicate"],
        false,
        "keys are a stream's"
    );
}

/// G6 by REST, also when repeated at the same time.
#[tokio::test]
async fn g6_a_repeated_post_by_rest_is_one_comment() {
    let (pod, stream) = (backend::shared(), stream_for("retry"));
    let path = format!("/v1/streams/{stream}/comments");
    let headers = [("content-type", "application/json"), ("idempotency-key", "x")];
    let body = json!({"kind": "comment", "body": "hi"}).to_string();
    let one = || request(pod.public, "POST", &path, &headers, body.as_bytes());
    let answers = join_all((0..10).map(|_| one())).await;
    let accepted: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!((accepted.len(), answers.iter().filter(|answer| answer.status == 200).count()), (1, 9));
    let ids: HashSet<_> = answers.iter().map(|answer| answer.json()["id"].to_string()).collect();
    assert!(ids.len() == 1 && accepted[0].json()["duplicate"] == false);
    assert!(answers.iter().all(|answer| answer.json()["duplicate"] == (answer.status == 200)));
    let other = json!({"kind": "comment", "body": "ho"}).to_string();
    request(pod.public, "POST", &path, &headers, other.as_bytes()).await.assert_problem(422, "id_reused");
    let mut viewer = Join::new(&pod, &stream).named("open").open().await;
    assert_eq!(
        viewer.post(json!({"id": "x", "body": "hi"})).await["duplicate"],
        false,
        "a viewer is no service"
    );
}

/// G1: one order for all, without holes, equal to the order of the answers, under eight posters at once.
#[tokio::test]
async fn g1_all_viewers_see_one_order_without_holes() {
    let (pod, stream) = (backend::shared(), stream_for("order"));
    let mut viewers = join_all((0..4).map(|_| async { Join::new(&pod, &stream).open().await })).await;
    let poster = |number: usize| {
        let (pod, stream) = (&pod, &stream);
        async move {
            let mut poster = Join::new(pod, stream).open().await;
            let mut acknowledged = Vec::new();
            for text in 0..25 {
                let body = format!("{number}/{text}");
                acknowledged.push((poster.say(&body).await, body));
            }
            acknowledged
        }
    };
    let acknowledged = join_all((0..8).map(poster)).await;
    for own in &acknowledged {
        assert!(own.is_sorted_by(|a, b| a.0 < b.0), "a post after an answer has the greater number");
    }
    let mut all: Vec<_> = acknowledged.into_iter().flatten().collect();
    all.sort_unstable();
    for viewer in &mut viewers {
        viewer.comments(200).await;
        viewer.assert_contiguous(1);
        let seen: Vec<_> = viewer.seen.iter().map(|seen| (seen.seq, seen.body.clone())).collect();
        assert_eq!(seen, all);
    }
}

/// README "Settings": in open mode a viewer without a name is its session.
#[tokio::test]
async fn a_viewer_without_a_name_is_its_session() {
    let (pod, stream) = (backend::shared(), stream_for("nameless"));
    let mut viewer = Join::new(&pod, &stream).open().await;
    viewer.say("hi").await;
    viewer.comments(1).await;
    assert_eq!(Value::from(viewer.seen[0].author.as_str()), viewer.hello()["session"]);
}

/// G6. Symptom: a guest that posted again after a lost connection was twice in the stream. Cause: ids belong to the author,
/// and a guest was another author on each socket.
#[tokio::test]
async fn g6_a_guests_ids_outlive_its_socket() {
    let (redis, stream) = (RedisServer::start(), stream_for("guest"));
    let shards = format!("a={}", redis.url());
    let pods = ["one", "two"].map(|pod| Pod::start(&[("FANFARE_SHARDS", &shards), ("FANFARE_POD", pod)]));
    let post = json!({"id": "p1", "body": "once"});
    let mut guest = Join::new(&pods[0], &stream).open().await;
    let first = eventually("the shard is up", PATIENCE, async || {
        Some(guest.post(post.clone()).await).filter(|answer| answer["type"] == "posted")
    })
    .await;
    let (session, secret) = (guest.hello()["session"].clone(), guest.hello()["session_secret"].clone());
    let secret = secret.as_str().unwrap();
    drop(guest);
    let mut again = Join::new(&pods[1], &stream).with_query("session", secret).open().await;
    assert_eq!((&again.hello()["session"], &again.hello()["session_secret"]), (&session, &secret.into()));
    let second = again.post(post.clone()).await;
    assert_eq!((&second["duplicate"], &second["seq"]), (&true.into(), &first["seq"]));
    again.comments(1).await;
    assert_eq!(Value::from(again.seen[0].author.as_str()), session);
    let mut other = Join::new(&pods[1], &stream).with_query("session", "").open().await;
    assert_ne!(other.hello()["session"], session);
    assert_eq!(other.post(post.clone()).await["duplicate"], false);
    let mut named = Join::new(&pods[0], &stream).named("ann").with_query("session", secret).open().await;
    assert_eq!(named.hello()["session_secret"], Value::Null);
    assert_eq!(named.post(post).await["duplicate"], false, "a name is an author of its own");
    for bad in ["x", &secret[1..], &format!("{secret}x"), &secret.replace(&secret[..1], "."), "%C3%A9"] {
        let refused = Join::new(&pods[0], &stream).with_query("session", bad).attempt().await;
        assert_eq!(refused.err().flatten().unwrap().status, 400, "{bad}");
    }
    assert!(pods.iter().all(|pod| pod.log_lines().iter().all(|line| !line.contains(secret))));
}

/// C7 of the checker: when all have left, the pod has no viewer left.
#[tokio::test]
async fn those_who_leave_are_gone() {
    let pod = backend::start(&[]);
    let stream = stream_for("gone");
    let mut viewers = join_all((0..50).map(|_| async { Join::new(&pod, &stream).open().await })).await;
    viewers[0].say("hi").await;
    assert_eq!(pod.probe("/ready").await.json()["viewers"], 50);
    drop(viewers);
    pod.deserted().await;
    eventually("the attributes say so", PATIENCE, async || {
        (pod.get(&format!("/v1/streams/{stream}")).await.json()["viewers"] == 0).then_some(())
    })
    .await;
}
