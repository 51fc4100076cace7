//! Pages of other origins in a browser, which asks the pod what they may, and keeps from them what they may not read.

use serde_json::{Value, json};
use testkit::{Issuer, Pod, TempFile, browser::Tab, issuer::keyed, stream_for};

/// Calls REST from a page; returns the status, the `Retry-After` that the page can read and the body, or the error's name.
async fn fetch(tab: &Tab, url: &str, options: &Value) -> Value {
    let script = format!(
        "return fetch('{url}', {options}).then(
            async (answer) => [answer.status, answer.headers.get('retry-after') !== null, await answer.json()],
            (error) => error.name)"
    );
    tab.run(&script).await
}

/// Opens a WebSocket from a page; returns whether the pod took it.
async fn may_watch(tab: &Tab, url: &str, token: &str) -> bool {
    let script = format!(
        "return new Promise((done) => {{
            const socket = new WebSocket('{url}', ['fanfare.v1', 'bearer.{token}']);
            socket.onopen = () => {{ socket.close(1000); done(true); }};
            socket.onclose = () => done(false);
        }})"
    );
    tab.run(&script).await == json!(true)
}

/// A page of a named origin reads, posts with a token and sees how long to wait; one of another origin does none of it, and
/// its post, which the browser asks about first (a preflight), is not made.
#[tokio::test]
async fn a_browser_lets_pages_of_the_named_origins_call_rest_and_no_others() {
    let (issuer, others, stream) = (Issuer::create(), Pod::shared(), stream_for("origins"));
    let rules = json!({"posts": {"user": {"per_second": 0.01, "burst": 1}}});
    let limits = TempFile::with(&rules.to_string());
    // Each listener of another pod is an origin; these answers of theirs are pages without a policy of their own.
    let named = format!("http://{}", others.public);
    let pod = keyed(&issuer, &[("FANFARE_ORIGINS", &named), ("FANFARE_LIMITS", limits.path())]);
    let page = Tab::open(&format!("{named}/v1/streams/{stream}/comments")).await;
    let stranger = Tab::open(&format!("http://{}/live", others.ops)).await;
    for (tab, origin) in [(&page, others.public), (&stranger, others.ops)] {
        assert_eq!(tab.run("return location.origin").await, format!("http://{origin}"));
    }

    let token = issuer.token_for("ann");
    let authorization = format!("Bearer {token}");
    let url = format!("http://{}/v1/streams/{stream}/comments", pod.public);
    let posts = |id: &str| {
        json!({
            "method": "POST",
            "headers": {"authorization": authorization, "content-type": "application/json", "idempotency-key": id},
            "body": json!({"kind": "comment", "body": id}).to_string(),
        })
    };
    let reads = json!({"headers": {"authorization": authorization}});
    assert_eq!(fetch(&stranger, &url, &posts("from a stranger")).await, "TypeError");
    assert_eq!(fetch(&stranger, &url, &reads).await, "TypeError");
    // No preflight: the pod answers, and the browser keeps the answer to itself.
    assert_eq!(fetch(&stranger, &url, &json!({})).await, "TypeError");

    assert_eq!(fetch(&page, &url, &posts("from a page")).await[0], 201);
    let refused = fetch(&page, &url, &posts("too soon")).await;
    assert_eq!((&refused[0], &refused[1]), (&json!(429), &json!(true)), "{refused}");
    assert_eq!(fetch(&page, &url, &json!({})).await[0], 401);
    let read = fetch(&page, &url, &reads).await;
    assert_eq!(read[0], 200, "{read}");
    let bodies: Vec<_> = read[2]["comments"].as_array().unwrap().iter().map(|c| &c["body"]).collect();
    assert_eq!(bodies, ["from a page"]);

    let watch = format!("ws://{}/v1/streams/{stream}/watch", pod.public);
    assert!(may_watch(&page, &watch, &token).await);
    assert!(!may_watch(&stranger, &watch, &token).await);
    page.close().await;
    stranger.close().await;
}
