//! Passwords and hosts of shards that change while pods run.

use std::fs;

use serde_json::json;
use testkit::{HEALED, Join, Pod, RedisServer, TempFile, eventually, post};

/// Exchanges the file, as an orchestrator does.
fn write(file: &TempFile, text: &str) {
    let path = std::path::Path::new(file.path());
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

async fn posted(pod: &Pod) -> bool {
    let comment = json!({"kind": "comment", "body": "x"});
    post(pod.public, "/v1/streams/rotated/comments", &comment).await.status == 201
}

/// Symptom: after a password was changed and old connections were cut, pods got WRONGPASS until they were restarted; a
/// shard that moved to another host likewise. Cause: the file of shards was read at the start alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_and_host_take_effect_without_a_restart() {
    let acl = |server: &RedisServer, password: &str| {
        let password = format!(">{password}");
        let user = ["ACL", "SETUSER", "fanfare", "on", "resetpass", &password, "~*", "&*", "+@all"];
        assert_eq!(server.cli(&user), "OK");
    };
    let list = |server: &RedisServer, password: &str| format!("a={}\n", server.url_of("fanfare", password));
    let (first, second) = (RedisServer::start(), RedisServer::start());
    acl(&first, "old");
    acl(&second, "new");
    let file = TempFile::with(&list(&first, "old"));
    let pod = Pod::start(&[("FANFARE_SHARDS_FILE", file.path())]);
    eventually("a post", HEALED, async || posted(&pod).await.then_some(())).await;
    let mut viewer = Join::new(&pod, "rotated").open().await;

    acl(&first, "new");
    first.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    first.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    let line = pod.logged(&["shard outage began", "WRONGPASS"], HEALED).await;
    assert!(!line.contains("old"), "no password is shown: {line}");
    write(&file, &list(&first, "new"));
    eventually("a post with the new password", HEALED, async || posted(&pod).await.then_some(())).await;

    write(&file, "a=redis://h?weight=x");
    pod.logged(&["the list of shards changed and was not taken"], HEALED).await;
    write(&file, &list(&second, "new"));
    let moved = async || {
        let clients = second.cli(&["CLIENT", "LIST"]);
        (clients.matches("user=fanfare").count() == 3).then_some(())
    };
    eventually("all connections at the second host", HEALED, moved).await;
    eventually("a post there", HEALED, async || posted(&pod).await.then_some(())).await;
    viewer.until("the other history", |viewer| viewer.has("reset")).await;
}
