//! What a link hears, and what a grant is worth.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;
use crate::shards::backend::condition::Condition;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_posted_is_heard_after_the_grant_in_order_and_as_the_history_holds_it() {
    let server = RedisServer::start();
    let mut kept = Kept::up(&server).await;
    let connection = kept.connected().await;
    let stream = stream("s");
    kept.post(&stream, "before").await;
    assert_eq!(kept.link.subscribe(std::slice::from_ref(&stream)).await, Ok(connection));
    let mut heard = Vec::new();
    for body in ["one", "two"] {
        kept.post(&stream, body).await;
        heard.push(kept.message().await.1);
    }
    assert_eq!(heard, kept.all(&stream).await.entries[1..]);
    kept.link.unsubscribe(std::slice::from_ref(&stream)).await.unwrap();
    assert_eq!(server.cli(&["PUBSUB", "NUMSUB", "ff:{s}"]), "ff:{s}\n0");
    kept.post(&stream, "after").await;
    assert_eq!(kept.link.health().messages, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_streams_are_granted_and_left_in_batches() {
    let server = RedisServer::start();
    let mut kept = Kept::up(&server).await;
    let connection = kept.connected().await;
    let streams: Vec<StreamId> = (0..10_000).map(|n| stream(&format!("s{n}"))).collect();
    // A busy machine may be late with a batch, which is then asked for again, with the others.
    let attempts = AtomicUsize::new(0);
    let granted = || async {
        attempts.fetch_add(1, Relaxed);
        kept.link.subscribe(&streams).await.ok()
    };
    assert_eq!(eventually("all are granted", 3 * SOON, granted).await, connection);
    let channels =
        || server.cli(&["PUBSUB", "CHANNELS", "ff:{*"]).lines().filter(|line| !line.is_empty()).count();
    assert_eq!(channels(), 10_000);
    let heads = || async { kept.link.heads(&streams[..1200]).await.ok() };
    assert_eq!(eventually("the heads", 3 * SOON, heads).await, vec![None; 1200]);
    let left = || async { kept.link.unsubscribe(&streams).await.ok() };
    eventually("all are left", 3 * SOON, left).await;
    assert_eq!(channels(), 0);
    let stats = server.cli(&["INFO", "commandstats"]);
    let calls =
        stats.lines().find_map(|line| line.strip_prefix("cmdstat_subscribe:calls=")?.split(',').next());
    let calls: usize = calls.unwrap().parse().unwrap();
    let most = 20 * attempts.into_inner() + 1;
    assert!((21..=most).contains(&calls), "20 batches and the probe's own: {calls} of {most}");
}

/// F8: messages on channels that are not ours are counted; garbage on a stream's channel is handed on as it is.
#[tokio::test(flavor = "multi_thread")]
async fn f8_garbage_is_handed_on_and_other_pods_probes_are_no_messages() {
    let server = RedisServer::start();
    let mut kept = Kept::up(&server).await;
    kept.connected().await;
    let stream = stream("s");
    kept.link.subscribe(std::slice::from_ref(&stream)).await.unwrap();
    server.cli(&["PUBLISH", "ff:probe:pod-1", "somebody else's"]);
    server.cli(&["PUBLISH", "ff:{s}", "garbage"]);
    match kept.event().await {
        Event::Message { payload, .. } => assert_eq!(&payload[..], b"garbage"),
        other => panic!("{other:?}"),
    }
    assert!(kept.link.health().up);
}

/// The probe, G9: its round trip is known as soon as the link is up.
#[tokio::test(flavor = "multi_thread")]
async fn g9_the_probe_tells_its_round_trip() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let probe = kept.link.health().probe.unwrap();
    assert!(probe < SOON, "{probe:?}");
    assert_eq!(kept.link.health().messages, 0, "probes are not counted as messages");
}

/// A denied SUBSCRIBE is seen by the barrier and never granted; the connection, one answer off, is made anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_denied_subscription_is_no_grant() {
    let server = RedisServer::start();
    let own_channels = ["resetchannels", "&ff:probe:*", "&ff:audience:*"];
    server.cli(&[&["ACL", "SETUSER", "pod", "on", ">secret", "~ff:*", "+@all"][..], &own_channels].concat());
    let mut kept = keep(server.url_of("pod", "secret"), "pod-1");
    kept.wait_up().await;
    let first = kept.connected().await;
    let stream = stream("s");
    for _ in 0..3 {
        assert_eq!(kept.link.subscribe(std::slice::from_ref(&stream)).await, Err(Unavailable));
    }
    assert!(kept.connected().await.0 > first.0, "the denied connection is gone");
    server.cli(&["ACL", "SETUSER", "pod", "allchannels"]);
    let grant = || async { kept.link.subscribe(std::slice::from_ref(&stream)).await.ok() };
    eventually("a grant", 3 * SOON, grant).await;
    assert_eq!(server.cli(&["PUBSUB", "NUMSUB", "ff:{s}"]), "ff:{s}\n1");
}

/// The users in `deploy/redis/users.acl`: a pod can do all it needs and not load functions, the deployment can do that.
#[tokio::test(flavor = "multi_thread")]
async fn the_users_that_we_ship_can_do_what_they_must_and_no_more() {
    let server = RedisServer::start();
    let users = include_str!("../../../../../deploy/redis/users.acl");
    for line in users.lines().filter(|line| line.starts_with("user ") && !line.starts_with("user default")) {
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        assert_eq!(server.cli(&[&["ACL", "SETUSER"], &words[..]].concat()), "OK", "{line}");
    }
    let mut kept = keep(server.url_of("fanfare", "CHANGE-ME-POD"), "pod-1");
    let stream = stream("s");
    let refused = async || kept.link.health().conditions.has(Condition::RefusesFunctions).then_some(());
    eventually("no functions", 3 * SOON, refused).await;
    assert!(kept.link.publish(&stream, a_post("no functions")).await.is_err());
    let as_user = |user: &str, password: &str, args: &[&str]| {
        server.cli(&[&["--user", user, "--pass", password, "--no-auth-warning"], args].concat())
    };
    let source = include_str!("../../../../../deploy/redis/fanfare.lua");
    let load = ["FUNCTION", "LOAD", "REPLACE", source];
    assert!(as_user("fanfare", "CHANGE-ME-POD", &load).starts_with("NOPERM"));
    assert_eq!(as_user("fanfare-deploy", "CHANGE-ME-DEPLOY", &load), "fanfare");
    kept.wait_up().await;
    kept.connected().await;
    for forbidden in
        [&["EVAL", "return 1", "0"][..], &["GET", "other"], &["PUBLISH", "other", "x"], &["KEYS", "*"]]
    {
        assert!(as_user("fanfare", "CHANGE-ME-POD", forbidden).starts_with("NOPERM"), "{forbidden:?}");
    }
    assert!(as_user("fanfare-deploy", "CHANGE-ME-DEPLOY", &["GET", "ff:ring"]).starts_with("NOPERM"));

    kept.link.subscribe(std::slice::from_ref(&stream)).await.unwrap();
    let first = kept.link.publish(&stream, keyed("v:u1", "a", 1)).await.unwrap();
    assert_eq!(kept.message().await.1.id, first.id);
    assert!(kept.link.publish(&stream, keyed("v:u1", "a", 1)).await.unwrap().duplicate);
    server.cli(&["XADD", "ff:{s}:h", "2-0", "e", "left by a failed call"]);
    kept.post(&stream, "the repair is allowed too").await;
    assert_eq!(kept.all(&stream).await.entries.len(), 2);
    kept.link.heads(std::slice::from_ref(&stream)).await.unwrap();
    assert_eq!(kept.link.tally(&stream).await.unwrap().unwrap().comment, 2);
    let beat = fleet::heartbeat(1, 0.5, LeaseRequest::Leave);
    assert_eq!(kept.link.beat(&beat, 1).await.unwrap().pods, 1);
    kept.link.beat(&fleet::heartbeat(1, 0.5, LeaseRequest::Gone), 1).await.unwrap();
    let count = |viewers| AudienceCount { stream: stream.clone(), viewers, users: vec![1, 2] };
    for counts in [[count(2)], [count(0)], [count(1)]] {
        kept.link.count(&counts, true).await.unwrap();
    }
    let audience = Audience { elsewhere: 0, peak: 2, users: 2 };
    assert_eq!(kept.link.audience(&stream).await, Ok(audience));
    assert_eq!(kept.link.uncount().await, Ok(false));
    kept.link.unsubscribe(&[stream]).await.unwrap();
    let told = || async { kept.link.clock().ahead_us().zip(kept.link.health().clients) };
    eventually("the shard's time and clients", 3 * SOON, told).await;
}
