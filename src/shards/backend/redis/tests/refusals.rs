//! Servers that refuse writes: too few replicas, a disk that fails, a replica, full memory.

use super::*;

/// A server that keeps what it has in memory and could write a snapshot.
fn with_snapshots() -> RedisServer {
    RedisServer::with(&["--save", "3600 1"])
}

/// How many clients a server has, the one that asks not among them.
fn connections_of_pods(server: &RedisServer) -> usize {
    server.cli(&["CLIENT", "LIST"]).lines().count() - 1
}

/// Posts, lets the server refuse writes, and asks for all that only reads; then lets it take writes again.
///
/// The server holds one stream with three comments; another one was never asked for before.
async fn reading_goes_on(
    mut server: RedisServer,
    break_it: impl AsyncFnOnce(&mut RedisServer),
    heal_it: impl AsyncFnOnce(&mut RedisServer),
) {
    let mut kept = Kept::up(&server).await;
    let first = kept.connected().await;
    let (known, new) = (stream("known"), stream("new"));
    for body in ["one", "two", "three"] {
        kept.post(&known, body).await;
    }
    let counts = [AudienceCount { stream: known.clone(), viewers: 2, users: vec![1, 2] }];
    kept.link.count(&counts, true).await.unwrap();
    let before = (kept.all(&known).await, kept.link.audience(&known).await.unwrap());
    break_it(&mut server).await;
    assert_eq!(kept.link.publish(&known, a_post("refused")).await, Err(PublishError::Unavailable));
    // More than one answer: the connection that reads does not end with the refusal.
    for _ in 0..20 {
        assert_eq!((kept.all(&known).await, kept.link.audience(&known).await.unwrap()), before);
        assert_eq!(kept.link.heads(std::slice::from_ref(&known)).await, Ok(vec![Some(before.0.head)]));
        assert_eq!(kept.link.tally(&known).await.unwrap().unwrap().total(), 3);
    }
    // MISCONF is Redis's answer to PING too, which is the barrier behind SUBSCRIBE.
    assert_eq!(kept.link.subscribe(&[known.clone(), new.clone()]).await, Ok(first));
    let empty = kept.all(&new).await;
    assert_eq!((empty.head.seq, empty.entries.len()), (0, 0));
    assert_eq!(kept.all(&new).await, empty, "an empty stream does not seem another one at each look");
    heal_it(&mut server).await;
    let posted = || async { kept.link.publish(&known, a_post("after")).await.ok() };
    let accepted = eventually("a post", 3 * SOON, posted).await;
    assert_eq!((accepted.seq, kept.all(&known).await.head.epoch), (4, before.0.head.epoch));
}

/// Symptom: where Redis refused posts, viewers could not join, resume or read the history either.
/// Cause: the functions that read renew what they read, so that Redis refused to run them as writers.
#[tokio::test(flavor = "multi_thread")]
async fn r11_reading_goes_on_without_enough_replicas() {
    let set = |server: &RedisServer, replicas: &str| {
        assert_eq!(server.cli(&["CONFIG", "SET", "min-replicas-to-write", replicas]), "OK");
    };
    reading_goes_on(RedisServer::start(), async |server| set(server, "1"), async |server| set(server, "0"))
        .await;
}

/// As above, on a server whose last snapshot failed (MISCONF).
#[tokio::test(flavor = "multi_thread")]
async fn r11_reading_goes_on_where_snapshots_fail() {
    let snapshot = async |server: &RedisServer, outcome: &str| {
        server.cli(&["BGSAVE"]);
        let expected = format!("rdb_last_bgsave_status:{outcome}");
        let ended = || async { server.cli(&["INFO", "persistence"]).contains(&expected).then_some(()) };
        eventually("the snapshot's end", 3 * SOON, ended).await;
    };
    let break_it = async |server: &mut RedisServer| {
        // A folder stands where the snapshot is to be.
        std::fs::create_dir(server.folder().join("dump.rdb")).unwrap();
        snapshot(server, "err").await;
    };
    let heal_it = async |server: &mut RedisServer| {
        std::fs::remove_dir(server.folder().join("dump.rdb")).unwrap();
        snapshot(server, "ok").await;
    };
    reading_goes_on(with_snapshots(), break_it, heal_it).await;
}

/// As above, on a primary that became a replica and has no other name.
#[tokio::test(flavor = "multi_thread")]
async fn r11_reading_goes_on_at_a_replica() {
    // Nobody listens on port 1: what the replica has is kept.
    let break_it = async |server: &mut RedisServer| {
        assert_eq!(server.cli(&["REPLICAOF", "127.0.0.1", "1"]), "OK");
    };
    let heal_it = async |server: &mut RedisServer| {
        assert_eq!(server.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    };
    reading_goes_on(RedisServer::start(), break_it, heal_it).await;
}

/// As above, on a server whose memory is full.
#[tokio::test(flavor = "multi_thread")]
async fn r11_reading_goes_on_in_full_memory() {
    let set = |server: &RedisServer, bytes: &str| {
        assert_eq!(server.cli(&["CONFIG", "SET", "maxmemory", bytes]), "OK");
    };
    reading_goes_on(RedisServer::start(), async |server| set(server, "1"), async |server| set(server, "0"))
        .await;
}

/// A library of an earlier version lacks the functions that only read, and cannot be replaced once writes are refused.
///
/// Symptom: after an upgrade of the pods alone reading ended with the first refusal of writes.
/// Cause: a library was replaced when a function was missed, and these are missed too late.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_library_is_replaced_before_it_is_needed() {
    let server = RedisServer::start();
    let older =
        "#!lua name=fanfare\nredis.register_function('fanfare_publish', function() return {'older'} end)";
    assert_eq!(server.cli(&["FUNCTION", "LOAD", older]), "fanfare");
    let kept = Kept::up(&server).await;
    assert_eq!(server.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]), "OK");
    assert_eq!(kept.all(&stream("s")).await.head.seq, 0);
}

/// Symptom: after an upgrade of the pods alone nothing used what a later library adds to an answer.
/// Cause: a library was replaced only if it lacked a function.
#[tokio::test(flavor = "multi_thread")]
async fn a_library_of_an_earlier_version_is_replaced_and_a_later_one_stays() {
    let source = include_str!("../../../../../deploy/redis/fanfare.lua");
    let ours = source.split_once("LIBRARY_VERSION = ").and_then(|(_, rest)| rest.lines().next());
    let ours: u32 = ours.unwrap().parse().unwrap();
    for (there, expected) in [(ours - 1, ours), (ours + 1, ours + 1)] {
        let server = RedisServer::start();
        let library =
            source.replace(&format!("LIBRARY_VERSION = {ours}"), &format!("LIBRARY_VERSION = {there}"));
        assert_eq!(server.cli(&["FUNCTION", "LOAD", &library]), "fanfare");
        let _kept = Kept::up(&server).await;
        let version = || async {
            (server.cli(&["FCALL", "fanfare_version", "1", "ff:{}"]) == expected.to_string()).then_some(())
        };
        eventually("the later of the two", SOON, version).await;
    }
}

/// Symptom: after a planned change of the primary pods stayed at the old one, which answered NOREPLICAS, until its
/// connections were cut. Cause: NOREPLICAS meant "try again later" on the same connection.
#[tokio::test(flavor = "multi_thread")]
async fn r11_posts_follow_the_name_of_a_primary_that_has_too_few_replicas() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let way = Relay::to_port(old.port()).await;
    let kept = keep(format!("redis://{}", way.address), "pod-1");
    kept.wait_up().await;
    let stream = stream("s");
    kept.post(&stream, "old").await;
    way.lead_to(std::net::SocketAddr::from(([127, 0, 0, 1], new.port())));
    assert_eq!(old.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]), "OK");
    assert_eq!(kept.link.publish(&stream, a_post("refused")).await, Err(PublishError::Unavailable));
    let posted = || async { kept.link.publish(&stream, a_post("new")).await.ok() };
    assert_eq!(eventually("a post", 3 * SOON, posted).await.seq, 1, "the new server has its own order");
    // The others follow, though nothing was wrong with their connections.
    let follow =
        || async { (connections_of_pods(&new) == 3 && connections_of_pods(&old) == 0).then_some(()) };
    eventually("all connections at the new server", 3 * SOON, follow).await;
}
