//! REST and probes: every route with its answers, and every documented error.

mod batches;
mod cors;

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Answer, Join, Peer, exchange, get, post, request, stream_for};

use super::backend;

const JSON: (&str, &str) = ("content-type", "application/json");

fn comments(stream: &str) -> String {
    format!("/v1/streams/{stream}/comments")
}

/// README "REST": a comment is created, with its number; the history then has it.
#[tokio::test]
async fn a_comment_is_created() {
    let (pod, stream) = (backend::shared(), stream_for("create"));
    let path = comments(&stream);
    let gift =
        json!({"kind": "gift", "author": {"id": "u7", "name": "Rui"}, "body": " wow ", "data": {"n": 1}});
    let created = post(pod.public, &path, &gift).await;
    assert_eq!((created.status, created.header("content-type")), (201, Some("application/json")));
    let id = created.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(created.json(), json!({"id": id, "seq": 1, "duplicate": false}));
    let page = pod.get(&path).await.json();
    let comment = &page["comments"][0];
    let expected = json!({
        "id": id, "seq": 1, "kind": "gift", "author": {"id": "u7", "name": "Rui"}, "body": "wow", "data": {"n": 1}, "at": comment["at"],
    });
    assert_eq!((comment, &page["more"]), (&expected, &json!(false)));
    let own = post(pod.public, &path, &json!({"kind": "comment", "body": "x"})).await;
    assert_eq!(own.status, 201);
    let page = pod.get(&path).await.json();
    assert_eq!(page["comments"][1]["author"]["id"], "open", "without an author it is the key's name");
}

/// README "REST": pages by position reach the end of the window, at most 200 at a time, and nothing twice.
#[tokio::test]
async fn history_is_paged_by_position() {
    let (pod, stream) = (backend::shared(), stream_for("paging"));
    pod.fill(&stream, 333, "").await;
    let path = comments(&stream);
    let seqs = |page: &Value| -> Vec<u64> {
        page["comments"].as_array().unwrap().iter().map(|comment| comment["seq"].as_u64().unwrap()).collect()
    };
    let newest = pod.get(&path).await.json();
    assert_eq!(
        (seqs(&newest), &newest["more"], &newest["resumed"]),
        ((284..=333).collect(), &json!(false), &json!("fresh"))
    );
    let two = pod.get(&format!("{path}?limit=2")).await.json();
    assert_eq!(seqs(&two), [332, 333]);
    let mut page = pod.get(&format!("{path}?after=start&limit=1")).await.json();
    assert_eq!((seqs(&page), &page["resumed"]), (vec![1], &json!("reset")));
    let mut all = seqs(&page);
    for limit in [200, 100, 200] {
        assert_eq!(page["more"], true);
        let after = page["position"].as_str().unwrap();
        page = pod.get(&format!("{path}?after={after}&limit={limit}")).await.json();
        assert!(page["resumed"] == "all" && seqs(&page).len() <= limit);
        all.extend(seqs(&page));
    }
    assert_eq!((all, &page["more"]), ((1..=333).collect(), &json!(false)));
    let end = page["position"].as_str().unwrap();
    let none = pod.get(&format!("{path}?after={end}")).await.json();
    assert_eq!((seqs(&none), none["position"].as_str(), &none["more"]), (vec![], Some(end), &json!(false)));
    let mut viewer = Join::new(&pod, &stream).after(end).open().await;
    assert_eq!(viewer.hello()["resumed"], "all", "a page's position is one that a viewer may resume from");
    viewer.say("live").await;
    viewer.comments(1).await;
    assert_eq!(viewer.seqs(), [334]);
}

/// Symptom: a misspelt field, parameter or position was ignored, and what it said was lost with a 201 or 200.
/// Cause: REST was as lenient as frames, whose unknown fields come from newer clients.
#[tokio::test]
async fn slips_are_answered_with_what_is_known() {
    let (pod, stream) = (backend::shared(), stream_for("slips"));
    let path = comments(&stream);
    let bodies = [
        (
            json!({"kind": "comment", "boddy": "x"}),
            "unknown field `boddy`, expected one of `kind`, `author`, `body`, `data`",
        ),
        (
            json!({"kind": "emperor"}),
            "unknown variant `emperor`, expected one of `comment`, `gift`, `follow`, `mission`",
        ),
        (
            json!({"kind": "follow", "author": {"id": "a", "nick": "A"}}),
            "unknown field `nick`, expected `id` or `name`",
        ),
        (json!({"kind": "gift"}), "a gift needs data"),
    ];
    for (body, hint) in bodies {
        let answer = post(pod.public, &path, &body).await;
        answer.assert_problem(answer.status, "bad_request");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(matches!(answer.status, 400 | 422) && detail.contains(hint), "{body}: {detail}");
    }
    let long = json!({"kind": "comment", "b".repeat(60_000): "x"});
    let detail = post(pod.public, &path, &long).await.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("unknown field") && detail.len() < 400, "not everything is sent back: {detail}");
    let pages = [
        (format!("{path}?afer=start"), "unknown field `afer`, expected `after` or `limit`"),
        (format!("{path}?after=zzz"), "after must be a position"),
        (format!("/v1/streams/{stream}?verbose=1"), "no query parameters"),
    ];
    for (path, hint) in pages {
        let answer = pod.get(&path).await;
        answer.assert_problem(400, "bad_request");
        assert!(answer.json()["detail"].as_str().unwrap().contains(hint), "{path}: {answer:?}");
    }
    let line = json!({"stream": stream, "kind": "comment", "boddy": "x"});
    let results = post(pod.public, "/v1/comments", &json!({"comments": [line]})).await.json();
    let detail = results["results"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("unknown field `boddy`, expected one of `stream`, `id`, `kind`"), "{results}");
    assert_eq!(
        pod.get(&format!("{path}?after=&limit=200")).await.json()["comments"],
        json!([]),
        "nothing was posted"
    );
    assert_eq!(pod.get(&format!("{path}?")).await.status, 200, "an empty query is none");
}

/// README "REST": a stream without comments is empty, not unknown.
#[tokio::test]
async fn an_unused_stream_is_empty() {
    let (pod, stream) = (backend::shared(), stream_for("unused"));
    let page = pod.get(&comments(&stream)).await;
    assert_eq!(
        (page.status, &page.json()["comments"], &page.json()["more"]),
        (200, &json!([]), &json!(false))
    );
    let attributes = pod.get(&format!("/v1/streams/{stream}")).await.json();
    assert_eq!((&attributes["viewers"], &attributes["comments"]), (&json!(0), &json!(0)));
}

/// README "REST": a stream's attributes count what was posted, by kind.
#[tokio::test]
async fn a_stream_has_attributes() {
    let (pod, stream) = (backend::shared(), stream_for("attributes"));
    for kind in ["comment", "comment", "gift", "follow", "mission"] {
        assert_eq!(
            post(pod.public, &comments(&stream), &json!({"kind": kind, "body": "x", "data": {}}))
                .await
                .status,
            201
        );
    }
    let _viewer = Join::new(&pod, &stream).open().await;
    let attributes = pod.get(&format!("/v1/streams/{stream}")).await.json();
    assert_eq!((&attributes["viewers"], &attributes["comments"]), (&json!(1), &json!(5)));
    let kinds = &attributes["comments_by_kind"];
    let counts = ["comment", "gift", "follow", "mission"].map(|kind| kinds[kind].as_u64());
    assert_eq!(counts, [Some(2), Some(1), Some(1), Some(1)]);
    assert!(attributes["shard"].as_str().is_some_and(|shard| !shard.is_empty()), "{attributes}");
}

/// README "REST": a batch has one result a comment, in their order; a bad one spoils no other.
#[tokio::test]
async fn a_batch_has_one_result_each() {
    let (pod, one, two) = (backend::shared(), stream_for("batch"), stream_for("batch"));
    let mut viewer = Join::new(&pod, &one).open().await;
    let batch = json!({"comments": [
        {"stream": one, "kind": "comment", "body": "first", "id": "k"},
        {"stream": two, "kind": "gift", "data": {"n": 1}},
        {"stream": "no stream", "kind": "comment", "body": "x"},
        {"stream": one, "kind": "comment", "body": ""},
        {"stream": one, "kind": "comment", "body": "first", "id": "k"},
        {"stream": one, "kind": "comment", "body": "other", "id": "k"},
        {"stream": one, "kind": "comment", "body": "x".repeat(3_000)},
        {"stream": one, "kind": "emperor", "body": "x"},
        {"stream": one, "kind": "comment", "body": "x", "id": ""},
        {"kind": "comment", "body": "x"},
        "not an object",
        {"stream": one, "kind": "comment", "body": "last"},
    ]});
    let answer = post(pod.public, "/v1/comments", &batch).await;
    assert_eq!(answer.status, 207);
    let results = answer.json()["results"].as_array().unwrap().clone();
    let statuses: Vec<_> = results.iter().map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 201, 400, 422, 200, 422, 422, 400, 400, 400, 400, 201]);
    let codes = [2, 3, 5, 6].map(|place: usize| results[place]["code"].as_str().unwrap());
    assert_eq!(codes, ["bad_request", "bad_request", "id_reused", "too_long"]);
    assert_eq!((&results[4]["id"], &results[4]["duplicate"]), (&results[0]["id"], &json!(true)));
    viewer.comments(2).await;
    let bodies: Vec<_> = viewer.seen.iter().map(|seen| seen.body.as_str()).collect();
    assert_eq!(bodies, ["first", "last"], "those of one stream keep their order");
    assert_eq!(pod.get(&format!("/v1/streams/{two}")).await.json()["comments"], 1);
    let empty = post(pod.public, "/v1/comments", &json!({"comments": []})).await;
    assert_eq!((empty.status, empty.json()), (207, json!({"results": []})));
}

/// README "REST": 500 comments, 1 MiB.
#[tokio::test]
async fn a_batch_has_its_limits() {
    let (pod, stream) = (backend::shared(), stream_for("limits"));
    let line = json!({"stream": stream, "kind": "comment", "body": "x".repeat(400)});
    let many = post(pod.public, "/v1/comments", &json!({"comments": vec![line.clone(); 501]})).await;
    many.assert_problem(422, "bad_request");
    let most = post(pod.public, "/v1/comments", &json!({"comments": vec![line; 500]})).await;
    assert_eq!(most.status, 207, "about 220 KiB");
    let padded = format!("{{\"comments\":[]{}}}", " ".repeat(1024 * 1024));
    request(pod.public, "POST", "/v1/comments", &[JSON], padded.as_bytes())
        .await
        .assert_problem(413, "too_long");
    let largest = format!("{{\"comments\":[]{}}}", " ".repeat(1024 * 1024 - 15));
    assert_eq!(request(pod.public, "POST", "/v1/comments", &[JSON], largest.as_bytes()).await.status, 207);
}

/// README "REST": a method that a route does not have is 405, with those that it has.
#[tokio::test]
async fn methods_that_a_route_lacks_are_405_with_allow() {
    let pod = backend::shared();
    let routes = [
        ("/v1/streams/a/comments", "GET,HEAD,POST", vec!["PUT", "PATCH", "DELETE"]),
        ("/v1/streams/a", "GET,HEAD", vec!["POST", "PUT", "PATCH", "DELETE"]),
        ("/v1/comments", "POST", vec!["GET", "PUT", "DELETE"]),
        ("/", "GET,HEAD", vec!["POST", "DELETE"]),
    ];
    for (path, allowed, methods) in routes {
        for method in methods {
            let answer = request(pod.public, method, path, &[], b"").await;
            answer.assert_problem(405, "bad_request");
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        }
    }
    for path in ["/ready", "/live"] {
        let answer = request(pod.ops, "POST", path, &[], b"").await;
        answer.assert_problem(405, "bad_request");
        assert_eq!(answer.header("allow"), Some("GET,HEAD"));
    }
}

/// README "Settings": what one listener serves is not there on the other; what is not built is not there at all.
#[tokio::test]
async fn each_listener_serves_its_own_routes_only() {
    let pod = backend::shared();
    for path in [
        "/ready",
        "/live",
        "/metrics",
        "/status",
        "/debug/streams",
        "/v1",
        "/v1/streams",
        "/v2/comments",
        "/../ready",
    ] {
        get(pod.public, path).await.assert_problem(404, "not_found");
    }
    for path in ["/", "/v1/streams/a", "/v1/streams/a/comments", "/v1/streams/a/watch", "/v1/comments"] {
        get(pod.ops, path).await.assert_problem(404, "not_found");
    }
    let not_built = [("PUT", "/v1/streams/a/mutes/b"), ("DELETE", "/v1/streams/a/comments/b")];
    for (method, path) in not_built {
        request(pod.public, method, path, &[], b"").await.assert_problem(404, "not_found");
    }
}

/// README "REST": a body that does not come is 408 after 5 s, and the connection is not used again.
#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let pod = backend::shared();
    let begin = std::time::Instant::now();
    let head = format!("POST {} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n", comments("a"));
    let counted = format!("{head}content-length: 100\r\n\r\n{{\"kind\":");
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n5\r\n{{\"kin");
    for answer in futures_util::future::join_all([counted, chunked].map(|bytes| async move {
        exchange(backend::shared().public, bytes.as_bytes()).await.expect("an answer")
    }))
    .await
    {
        answer.assert_problem(408, "bad_request");
    }
    let took = begin.elapsed();
    assert!(took > Duration::from_secs(4), "{took:?}");
    assert_eq!(get(pod.public, "/v1/streams/a").await.status, 200);
}

/// The page is there in open mode, runs only what it holds, and is no place for other pages to frame.
#[tokio::test]
async fn the_page_is_served_in_open_mode() {
    let pod = backend::shared();
    let page: Answer = pod.get("/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert!(page.body.contains("<script") && page.body.contains("/v1/streams/"));
}

/// README "REST": both probes answer, and say what they are.
#[tokio::test]
async fn probes_answer() {
    let pod = backend::shared();
    let (ready, live) = (pod.probe("/ready").await, pod.probe("/live").await);
    assert_eq!((ready.status, live.status), (200, 200));
    let ready = ready.json();
    assert_eq!((&ready["ready"], &ready["reasons"]), (&json!(true), &json!([])));
    assert!(
        ready["viewers"].is_u64() && ready["shards"].as_object().is_some_and(|shards| shards.len() == 1),
        "{ready}"
    );
}

/// A client may keep its connection: requests one behind the other are answered in order, and told how long it is kept.
#[tokio::test]
async fn connections_are_kept_and_pipelined() {
    let (pod, stream) = (backend::shared(), stream_for("kept"));
    let mut peer = Peer::connect(pod.public).await;
    let one = |body: &str| {
        let body = json!({"kind": "comment", "body": body}).to_string();
        let length = body.len();
        format!(
            "POST {} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}",
            comments(&stream)
        )
    };
    peer.send((one("a") + &one("b") + &one("c")).as_bytes()).await;
    for _ in 0..3 {
        let head = peer.head().await.expect("an answer");
        assert!(
            head.ends_with("\r\n\r\n")
                && head.contains("201")
                && head.to_lowercase().contains("keep-alive: timeout=75"),
            "{head}"
        );
    }
    let page = pod.get(&comments(&stream)).await.json();
    let bodies: Vec<_> = page["comments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|comment| comment["body"].as_str().unwrap())
        .collect();
    assert_eq!(bodies, ["a", "b", "c"]);
}
