//! Pages of other origins that call REST.

use serde_json::json;
use testkit::{Answer, Issuer, Pod, TempFile, request, stream_for};

use super::comments;

const PAGE: (&str, &str) = ("origin", "https://live.example");
const STRANGER: (&str, &str) = ("origin", "https://elsewhere.example");

fn allowed(answer: &Answer) -> Option<&str> {
    answer.header("access-control-allow-origin")
}

fn varies_by_origin(answer: &Answer) -> bool {
    answer.header("vary").is_some_and(|vary| vary.split(',').any(|name| name.trim() == "origin"))
}

/// Symptom: a page that loads skipped comments by REST, as the documents say, was kept from them by its browser.
/// Cause: the answers had no `Access-Control-Allow-Origin`, and a preflight was 405.
#[tokio::test]
async fn pages_of_the_named_origins_may_read_and_post() {
    let (issuer, stream) = (Issuer::create(), stream_for("cors"));
    let rules = json!({"posts": {"user": {"per_second": 0.01, "burst": 1}}});
    let limits = TempFile::with(&rules.to_string());
    let settings = issuer.settings();
    let mut settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    settings.extend([
        ("FANFARE_ORIGINS", "https://live.example,https://app.example"),
        ("FANFARE_LIMITS", limits.path()),
    ]);
    let pod = Pod::start(&settings);
    let path = comments(&stream);
    let bearer = format!("Bearer {}", issuer.token_for("ann"));
    let ask = async |method: &str, headers: &[(&str, &str)], body: &str| {
        let known = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        request(pod.public, method, &path, &[&known, headers].concat(), body.as_bytes()).await
    };

    let wishes = [
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,idempotency-key"),
    ];
    let preflight = request(pod.public, "OPTIONS", &path, &[&[PAGE][..], &wishes].concat(), b"").await;
    assert_eq!((preflight.status, allowed(&preflight)), (200, Some(PAGE.1)), "{preflight:?}");
    let lists = |name: &str, wished: &[&str]| {
        let listed: Vec<_> =
            preflight.header(name).unwrap().split(',').map(|word| word.trim().to_lowercase()).collect();
        assert!(
            wished.iter().all(|wished| listed.iter().any(|listed| listed == wished)),
            "{name}: {listed:?}"
        );
    };
    lists("access-control-allow-methods", &["get", "post"]);
    lists("access-control-allow-headers", &["authorization", "content-type", "idempotency-key"]);
    assert!(varies_by_origin(&preflight) && preflight.header("access-control-allow-credentials").is_none());
    let refused = request(pod.public, "OPTIONS", &path, &[&[STRANGER][..], &wishes].concat(), b"").await;
    assert_eq!(allowed(&refused), None, "{refused:?}");

    let hi = json!({"kind": "comment", "body": "hi"}).to_string();
    let answers = [
        (201, ask("POST", &[PAGE], &hi).await),
        (200, ask("GET", &[PAGE], "").await),
        (429, ask("POST", &[PAGE], &hi).await),
        (405, ask("DELETE", &[PAGE], "").await),
        (401, request(pod.public, "GET", &path, &[PAGE], b"").await),
    ];
    for (status, answer) in answers {
        assert_eq!((answer.status, allowed(&answer)), (status, Some(PAGE.1)), "{answer:?}");
        assert!(varies_by_origin(&answer), "{answer:?}");
        assert_eq!(answer.header("access-control-expose-headers"), Some("retry-after"));
    }
    for other in [&[STRANGER][..], &[("origin", "null")], &[]] {
        let answer = ask("GET", other, "").await;
        assert_eq!((answer.status, allowed(&answer)), (200, None), "{other:?}");
        assert!(varies_by_origin(&answer), "a cache keeps the answers apart: {answer:?}");
    }
    // The calls of backends are for no page.
    for path in [format!("/v1/streams/{stream}"), "/v1/comments".to_owned(), "/v1/viewers/ann".to_owned()] {
        let answer = request(pod.public, "OPTIONS", &path, &[PAGE], b"").await;
        assert_eq!((answer.status, allowed(&answer)), (405, None), "{path}");
    }
}

/// Where no origin is named, pages of all may watch, and read.
#[tokio::test]
async fn pages_of_all_origins_may_read_where_none_is_named() {
    let (pod, stream) = (Pod::shared(), stream_for("cors"));
    let answer = request(pod.public, "GET", &comments(&stream), &[STRANGER], b"").await;
    assert_eq!((answer.status, allowed(&answer)), (200, Some("*")));
}
