//! Names of streams that are none: 400 wherever they stand.

use futures_util::future::join_all;
use serde_json::json;
use testkit::{Pod, exchange, get, post, request};

use super::Control;

/// As they stand in a path.
pub(super) fn names() -> Vec<String> {
    let plain = [
        "*",
        "%3F",
        "%5B",
        "%5Ba%5D",
        "%7Ba%7D",
        "a:b",
        "a%3Ab",
        "a%20b",
        "%20",
        "+",
        "a%0D%0Ab",
        "%0A",
        "a%00",
        "%00",
        "%C3%A9",
        "%F0%9F%98%80",
        "%E2%80%AEx",
        "%D0%B0",
        "%FF",
        "%ED%A0%80",
        "a%2Fb",
        "..%2F..%2Fready",
        "a.b",
        "...",
        "~a",
        "a,b",
        "a;b",
        "a=b",
        "a@b",
        "$a",
        "a'b",
        "a%22b",
        "a%5Cb",
        "%2500",
        "a%",
        "%zz",
    ];
    plain.map(str::to_owned).into_iter().chain([65, 1_000, 5_000].map(|length| "a".repeat(length))).collect()
}

/// G14: a name outside of `[A-Za-z0-9_-]{1,64}` is refused by every route, before anything is asked of a shard.
#[tokio::test]
async fn g14_streams() {
    let control = Control::begin("streams").await;
    let address = control.pod.public;
    let names = names();
    join_all(names.iter().map(|name| async move {
        let comment = json!({"kind": "comment", "body": "x"});
        for path in
            [format!("/v1/streams/{name}"), format!("/v1/streams/{name}/comments"), Pod::watch_path(name)]
        {
            get(address, &path).await.assert_problem(400, "bad_request");
        }
        post(address, &format!("/v1/streams/{name}/comments"), &comment)
            .await
            .assert_problem(400, "bad_request");
    }))
    .await;
    for name in ["", "a b", "a*", "{a}", "a:b", "a\r\nb", "a\0", "é", "a/b", &"a".repeat(65)] {
        let batch = json!({"comments": [{"stream": name, "kind": "comment", "body": "x"}]});
        let answer = post(address, "/v1/comments", &batch).await;
        let result = &answer.json()["results"][0];
        assert_eq!((&result["status"], &result["code"]), (&json!(400), &json!("bad_request")), "{name:?}");
    }
    for (path, status) in [("/v1/streams//watch", 400), ("/v1/streams//comments", 400), ("/v1/streams/", 404)]
    {
        let got = get(address, path).await.status;
        assert!(got == status || got == 404, "{path}: {got}");
    }
    let longest = "Az09_-".repeat(11)[..64].to_owned();
    assert_eq!(get(address, &format!("/v1/streams/{longest}")).await.status, 200);
    let escaped = request(address, "GET", "/v1/streams/%61%5Fb", &[], b"").await;
    assert_eq!(escaped.status, 200, "an escape that was not needed");
    let huge = format!("GET /v1/streams/{}/watch HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(17_000));
    assert_eq!(
        exchange(address, huge.as_bytes()).await.map(|answer| answer.status),
        Some(431),
        "a head over 16 KiB"
    );
    control.unharmed("streams", names.len() + 16, 50).await;
}
