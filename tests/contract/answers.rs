//! Every answer over HTTP, made to come.

use serde_json::{Value, json};
use testkit::{
    Answer, Issuer, Join, PATIENCE, Peer, Pod, Signal, TempFile,
    contract::{
        documents::{elements, escape, members},
        observe::{self, REST},
    },
    embedded, eventually, exchange, get,
    issuer::{claims_with, service, service_key},
    on_redis, post, request, stream_for,
};

use super::{
    assert_all_seen,
    bad_shards::{dead_shard, slow_shard, weak_shards},
};

/// What passes too quickly to be seen for certain: a pod answers its probes for moments before it is ready.
/// What takes a load, a limit or other pods is made to come by the tests of readiness, which are observed as well.
const NOT_HERE: [&str; 11] = [
    "openapi.yaml#/components/schemas/Readiness/properties/reasons/items: \"starting\"",
    "openapi.yaml#/components/schemas/Readiness/properties/reasons/items: \"cpu\"",
    "openapi.yaml#/components/schemas/Readiness/properties/reasons/items: \"memory\"",
    "openapi.yaml#/components/schemas/Readiness/properties/reasons/items: \"sampler\"",
    "openapi.yaml#/components/schemas/Readiness/properties/reasons/items: \"workers\"",
    "openapi.yaml#/paths/~1live/get/responses/503",
    "openapi.yaml#/components/schemas/Readiness/properties/memory",
    "openapi.yaml#/components/schemas/Readiness/properties/cgroup_fault",
    "openapi.yaml#/components/schemas/Readiness/properties/fleet/properties/others_cpu",
    "openapi.yaml#/components/schemas/Status/properties/cpu: \"null\"",
    "openapi.yaml#/components/schemas/Explanation/properties/seats: \"null\"",
];

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

pub(super) fn comments(stream: &str) -> String {
    format!("/v1/streams/{stream}/comments")
}

/// The bodies that the document shows for a request are accepted.
async fn examples(pod: &Pod) {
    let mut accepted = 0;
    for (path, item) in members(&REST.root["paths"]) {
        let content = &item["post"]["requestBody"]["content"]["application/json"];
        let examples: Vec<&Value> = members(&content["examples"])
            .map(|(_, example)| &example["value"])
            .chain(content.get("example"))
            .collect();
        for example in examples {
            let answer = post(pod.public, &path.replace("{stream}", &stream_for("examples")), example).await;
            assert!(matches!(answer.status, 201 | 207), "{example}: {answer:?}");
            for result in elements(&answer.json().get("results").cloned().unwrap_or_default()) {
                assert_eq!(result["status"], 201, "{example}");
            }
            accepted += 1;
        }
    }
    assert!(accepted >= 4, "{accepted}");
}

/// One post, with each of its answers.
async fn posting(pod: &Pod) {
    let path = comments(&stream_for("posting"));
    let hi = json!({"kind": "comment", "body": "hi"});
    let keyed = async |body: Value| {
        let headers = [JSON[0], ("idempotency-key", "k")];
        request(pod.public, "POST", &path, &headers, body.to_string().as_bytes()).await
    };
    assert_eq!((keyed(hi.clone()).await.status, keyed(hi).await.status), (201, 200));
    keyed(json!({"kind": "comment", "body": "ho"})).await.assert_problem(422, "id_reused");
    post(pod.public, &path, &json!({"kind": "comment"})).await.assert_problem(422, "bad_request");
    let long = json!({"kind": "comment", "body": "x".repeat(501)});
    post(pod.public, &path, &long).await.assert_problem(422, "too_long");
}

/// What is refused of a body, with the same answers for one post and for many.
async fn bodies(pod: &Pod, path: &str, too_large: usize) {
    let send =
        async |headers: &[(&str, &str)], body: &[u8]| request(pod.public, "POST", path, headers, body).await;
    send(&JSON, b"{").await.assert_problem(400, "bad_request");
    send(&[], b"{}").await.assert_problem(415, "bad_request");
    send(&JSON, &vec![b' '; too_large]).await.assert_problem(413, "too_long");
    let unfinished = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{{"
    );
    let late = exchange(pod.public, unfinished.as_bytes()).await.expect("an answer");
    late.assert_problem(408, "bad_request");
}

/// A batch whose results are of all kinds, and one that is too long.
async fn batches(pod: &Pod) {
    let stream = stream_for("batches");
    let line = |id: &str, body: &str| json!({"stream": stream, "kind": "comment", "body": body, "id": id});
    let lines = [
        line("a", "hi"),
        line("a", "hi"),
        line("a", "ho"),
        line("b", &"x".repeat(501)),
        line("c", ""),
        line("", "x"),
    ];
    let answer = post(pod.public, "/v1/comments", &json!({"comments": lines})).await.json();
    let statuses: Vec<_> =
        elements(&answer["results"]).map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 200, 422, 422, 422, 400]);
    let many = vec![line("d", "x"); 501];
    post(pod.public, "/v1/comments", &json!({"comments": many})).await.assert_problem(422, "bad_request");
}

/// Pages of each kind, and a stream's counts.
async fn reading(start: fn(&[(&str, &str)]) -> Pod) {
    let (pod, stream) = (start(&[("FANFARE_HISTORY_COMMENTS", "10")]), stream_for("reading"));
    let path = comments(&stream);
    let gift = json!({"kind": "gift", "author": {"id": "u7", "name": "Rui"}, "data": {"n": 1}});
    for kind in ["comment", "follow", "mission"] {
        post(pod.public, &path, &json!({"kind": kind, "body": "x"})).await;
    }
    post(pod.public, &path, &gift).await;
    let resumed = async |query: &str| {
        let page = pod.get(&format!("{path}?{query}")).await.json();
        (page["resumed"].as_str().unwrap().to_owned(), page["position"].as_str().unwrap().to_owned())
    };
    let (fresh, position) = resumed("limit=200").await;
    let (all, _) = resumed(&format!("after={position}")).await;
    pod.fill(&stream, 300, "").await;
    let (gap, _) = resumed(&format!("after={position}")).await;
    let (reset, _) = resumed("after=start").await;
    assert_eq!([fresh, all, gap, reset], ["fresh", "all", "gap", "reset"]);
    pod.get(&format!("{path}?limit=0")).await.assert_problem(400, "bad_request");
    assert_eq!(pod.get(&format!("/v1/streams/{stream}")).await.status, 200);
    pod.get("/v1/streams/a%20b").await.assert_problem(400, "bad_request");
}

/// Handshakes, the page, and what fits no route.
async fn edges(pod: &Pod) {
    let sample = Peer::handshake(&stream_for("edges"));
    let offer = sample.replacen("\r\n\r\n", "\r\nsec-websocket-protocol: fanfare.v1\r\n\r\n", 1);
    let statuses = [
        (offer, 101),
        (sample.replacen("dGhl", "", 1), 400),
        (sample.replacen("version: 13", "version: 12", 1), 426),
        ("GET / HTTP/1.1\r\nhost: x\r\n\r\n".into(), 200),
        ("GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n".into(), 404),
        ("DELETE / HTTP/1.1\r\nhost: x\r\n\r\n".into(), 405),
        ("hello\r\n\r\n".into(), 400),
        (format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(17 * 1024)), 431),
    ];
    for (bytes, status) in statuses {
        let answer: Option<Answer> = exchange(pod.public, bytes.as_bytes()).await;
        assert_eq!(answer.map(|answer| answer.status), Some(status), "{bytes}");
    }
    let page = [("origin", "https://live.example"), ("access-control-request-method", "POST")];
    assert_eq!(request(pod.public, "OPTIONS", &comments("a"), &page, b"").await.status, 200);
    // A request that is no handshake, on a connection that is closed behind it.
    get(pod.public, &Pod::watch_path("a")).await.assert_problem(426, "bad_request");
    assert_eq!(pod.probe("/live").await.status, 200);
}

/// Where there are keys: nobody, and somebody who may not, at each route; and a user who is revoked.
async fn keys(start: fn(&[(&str, &str)]) -> Pod) {
    let (issuer, stream) = (Issuer::create(), stream_for("keys"));
    issuer.write_service_keys(&[
        service("shop", "all", &["gift"], &["*"]),
        service("cinema", "cinema", &["gift"], &["cinema"]),
    ]);
    let settings = issuer.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let pod = start(&settings);
    let as_who = async |method: &str, path: &str, credential: &str, body: &str| {
        let bearer = format!("Bearer {credential}");
        let headers = [("authorization", bearer.as_str()), JSON[0]];
        let headers = if credential.is_empty() { &headers[1..] } else { &headers[..] };
        request(pod.public, method, path, headers, body.as_bytes()).await
    };
    let (one, of_stream, user) =
        (comments(&stream), format!("/v1/streams/{stream}"), "/v1/viewers/u7".to_owned());
    let gift = json!({"kind": "gift", "data": {"n": 1}}).to_string();
    let line = json!({"comments": [{"stream": stream, "kind": "gift", "data": {"n": 1}}, {"stream": stream, "kind": "follow"}]});
    for (method, path, body) in
        [("POST", &one, gift.as_str()), ("GET", &one, ""), ("GET", &of_stream, ""), ("DELETE", &user, "")]
    {
        as_who(method, path, "", body).await.assert_problem(401, "bad_token");
        as_who(method, path, &service_key("cinema"), body).await.assert_problem(403, "not_allowed");
    }
    as_who("POST", "/v1/comments", "", "{}").await.assert_problem(401, "bad_token");
    as_who("POST", "/v1/comments", &issuer.token_for("u7"), "{}").await.assert_problem(403, "not_allowed");
    let results = as_who("POST", "/v1/comments", &service_key("all"), &line.to_string()).await.json();
    assert_eq!(results["results"][1]["status"], 403, "{results}");
    let expired = issuer.good(&claims_with("u7", &json!({"exp": 1})));
    as_who("GET", &one, &expired, "").await.assert_problem(401, "token_expired");
    assert_eq!(as_who("DELETE", &user, &service_key("all"), "").await.status, 204);
    as_who("DELETE", "/v1/viewers/a%00b", &service_key("all"), "").await.assert_problem(400, "bad_request");
    let other = issuer.good(&claims_with("u7", &json!({"streams": ["elsewhere"], "iat": 1, "exp": 2})));
    let elsewhere = issuer.good(&claims_with("u8", &json!({"streams": ["elsewhere"]})));
    for (token, status) in [("", 401), (other.as_str(), 401), (elsewhere.as_str(), 403)] {
        let lines =
            if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        let sample = Peer::handshake(&stream).replacen("\r\n\r\n", &format!("\r\n{lines}\r\n"), 1);
        let answer = exchange(pod.public, sample.as_bytes()).await.expect("an answer");
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

/// A pod that goes away while somebody is still there.
async fn leaving() {
    let pod = Pod::start(&[("FANFARE_SETTLE", "60s")]);
    let _viewer = Join::new(&pod, &stream_for("leaving")).open().await;
    assert_eq!(pod.probe("/ready").await.status, 200);
    pod.signal(Signal::Term);
    eventually("503", PATIENCE, async || (pod.probe("/ready").await.status == 503).then_some(())).await;
}

/// A pod that has as many viewers as it may.
async fn full() {
    let settings = [("FANFARE_MAX_VIEWERS", "1"), ("FANFARE_SOCKET_REFUSALS_PER_SECOND", "0")];
    let (pod, stream) = (Pod::start(&settings), stream_for("full"));
    let _viewer = Join::new(&pod, &stream).open().await;
    let refused = exchange(pod.public, Peer::handshake(&stream).as_bytes()).await.expect("an answer");
    refused.assert_problem(503, "not_accepting");
    eventually("503", PATIENCE, async || (pod.probe("/ready").await.status == 503).then_some(())).await;
}

/// A pod that has as many connections as it may.
async fn crowded() {
    let pod = Pod::start_after("ulimit -n 256", &[]);
    let noticed =
        eventually("503", PATIENCE, async || (pod.probe("/ready").await.status == 503).then_some(()));
    tokio::select! {
        () = noticed => {}
        () = crate::listener::flood(&pod) => {}
    }
}

/// Pages, handshakes and posts that are not let in.
async fn limited() {
    let once = json!({"per_second": 0.01, "burst": 1});
    let rules = json!({"joins": {"stream": once}, "posts": {"service": once}});
    let file = TempFile::with(&rules.to_string());
    let settings = [("FANFARE_LIMITS", file.path()), ("FANFARE_ORIGINS", "https://live.example")];
    let (pod, stream) = (Pod::start(&settings), stream_for("limited"));
    let sample = Peer::handshake(&stream);
    let foreign = sample.replacen("\r\n\r\n", "\r\norigin: https://elsewhere.example\r\n\r\n", 1);
    let refused = exchange(pod.public, foreign.as_bytes()).await.expect("an answer");
    refused.assert_problem(403, "not_allowed");
    let _viewer = Join::new(&pod, &stream).open().await;
    let refused = exchange(pod.public, sample.as_bytes()).await.expect("an answer");
    refused.assert_problem(429, "rate_limited");
    let comment = json!({"stream": stream, "kind": "comment", "body": "x"});
    let single = json!({"kind": "comment", "body": "x"});
    assert_eq!(post(pod.public, &comments(&stream), &single).await.status, 201);
    post(pod.public, &comments(&stream), &single).await.assert_problem(429, "rate_limited");
    let batch = post(pod.public, "/v1/comments", &json!({"comments": [comment]})).await;
    assert_eq!(batch.json()["results"][0]["code"], "rate_limited");
}

/// What people look at: meters, the pod at a glance, a stream explained.
async fn at_a_glance(pod: &Pod) {
    let stream = stream_for("glance");
    let mut viewer = Join::new(pod, &stream).open().await;
    viewer.say("hi").await;
    viewer.comments(1).await;
    let explained = format!("/debug/streams/{stream}");
    for path in ["/metrics", "/status", "/status.json", "/status.html", &explained] {
        assert_eq!(pod.probe(path).await.status, 200, "{path}");
    }
    let page = request(pod.ops, "GET", "/status", &[("accept", "text/html")], b"").await;
    assert!(page.header("content-type").is_some_and(|of_type| of_type.starts_with("text/html")));
    pod.probe("/debug/streams/a%20b").await.assert_problem(400, "bad_request");
    let silent = stream_for("silent");
    let _silent = Join::new(pod, &silent).open().await;
    assert!(pod.probe(&format!("/debug/streams/{silent}")).await.json()["tape"]["newest_ago_ms"].is_null());
    drop(viewer);
    eventually("a linger", PATIENCE, async || {
        pod.probe(&explained).await.json()["lingers_ms"].is_u64().then_some(())
    })
    .await;
}

async fn tour(start: fn(&[(&str, &str)]) -> Pod) {
    let pod = start(&[]);
    let one = comments(&stream_for("bodies"));
    tokio::join!(
        examples(&pod),
        posting(&pod),
        bodies(&pod, &one, 64 * 1024 + 1),
        bodies(&pod, "/v1/comments", 1024 * 1024 + 1),
        batches(&pod),
        reading(start),
        edges(&pod),
        keys(start),
        leaving(),
        dead_shard(),
        slow_shard(),
        weak_shards(),
        full(),
        crowded(),
        limited(),
        at_a_glance(&pod),
    );
}

/// Issue 4: no status, header, field, value or code of openapi.yaml that a pod does not answer, on the embedded shard.
#[tokio::test]
async fn every_answer_of_the_document_is_given_by_an_embedded_pod() {
    observe::begin();
    Box::pin(tour(embedded::start)).await;
    assert_all_seen(&REST, &NOT_HERE);
}

/// The same on a Redis.
#[tokio::test]
async fn every_answer_of_the_document_is_given_by_a_pod_on_redis() {
    observe::begin();
    Box::pin(tour(on_redis::start)).await;
    assert_all_seen(&REST, &NOT_HERE);
}

/// What is not in the document is found, in every JSON answer.
#[test]
fn a_field_that_no_answer_knows_is_a_fault() {
    let mut planted = 0;
    let mut plant = |place: &str| {
        for (of_type, media) in
            members(&REST.at(place)["content"]).filter(|(of_type, _)| of_type.ends_with("json"))
        {
            let schema = format!("{place}/content/{}/schema", escape(of_type));
            let mut examples: Vec<Value> = media.get("example").cloned().into_iter().collect();
            examples.extend(members(&media["examples"]).map(|(_, example)| example["value"].clone()));
            assert!(!examples.is_empty(), "{schema} has no example");
            for mut example in examples {
                assert_eq!(REST.faults(&schema, &example), None);
                example["planted"] = 1.into();
                assert!(
                    REST.faults(&schema, &example).is_some_and(|faults| faults.contains("planted")),
                    "{schema}"
                );
                planted += 1;
            }
        }
    };
    for (path, item) in members(&REST.root["paths"]) {
        for (method, operation) in members(item) {
            for (status, _) in members(&operation["responses"]) {
                plant(&REST.resolved(&format!("/paths/{}/{method}/responses/{status}", escape(path))));
            }
        }
    }
    assert!(planted >= 20, "{planted}");
}
