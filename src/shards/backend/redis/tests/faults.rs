//! Faults of a real Redis: killed, frozen, cut, full, gone.

use std::time::Instant;

use super::*;

/// How long a fault may be there unnoticed; `make verify` has the 3 s of G9.
const NOTICED: Duration = Duration::from_secs(60);

/// Waits for an answer that G9 promises within 1.5 s for three times that, by this runtime's own clock and in many steps:
/// where the machine has no time for the answer, the clock gets none either.
async fn answered<T>(answer: impl Future<Output = T>) -> T {
    let clock = async {
        for _ in 0..45 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        () = clock => panic!("no answer in three times 1.5 s"),
    }
}

async fn is_down(kept: &Kept) {
    eventually("the fault is noticed", NOTICED, || async { (!kept.link.health().up).then_some(()) }).await;
}

/// R8: a killed subscriber is back soon, as another connection, and no older grant holds for it.
#[tokio::test(flavor = "multi_thread")]
async fn r8_a_killed_subscriber_is_another_connection() {
    let server = RedisServer::start();
    let mut kept = Kept::up(&server).await;
    let first = kept.connected().await;
    let stream = stream("s");
    let grant = kept.link.subscribe(std::slice::from_ref(&stream)).await.unwrap();
    assert_eq!(grant, first);
    server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    assert!(matches!(kept.event().await, Event::Disconnected));
    let second = kept.connected().await;
    assert_ne!(second, grant, "the grant is void");
    assert_eq!(
        server.cli(&["PUBSUB", "NUMSUB", "ff:{s}"]),
        "ff:{s}\n0",
        "and nothing was subscribed behind our back"
    );
    assert_eq!(kept.link.subscribe(std::slice::from_ref(&stream)).await, Ok(second));
    kept.post(&stream, "hi").await;
    assert_eq!(kept.message().await.0, stream);
}

/// R8: killed again and again, the posting connection too, it comes back each time.
#[tokio::test(flavor = "multi_thread")]
async fn r8_a_loop_of_kills_ends_well() {
    let server = RedisServer::start();
    let mut kept = Kept::up(&server).await;
    let mut last = kept.connected().await;
    for _ in 0..5 {
        server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        let next = kept.connected().await;
        assert!(next.0 > last.0);
        last = next;
    }
    kept.wait_up().await;
    let posted = || async { kept.link.publish(&stream("s"), a_post("hi")).await.ok() };
    eventually("a post", 3 * SOON, posted).await;
}

/// R1, G7: SIGKILL and restart with the append-only file: what was acked is there, the order goes on in its epoch, and
/// posts meanwhile are refused within 1.5 s.
#[tokio::test(flavor = "multi_thread")]
async fn r1_a_killed_shard_comes_back_with_what_it_acked() {
    let mut server = RedisServer::durable();
    let mut kept = Kept::up(&server).await;
    let first_connection = kept.connected().await;
    let stream = stream("s");
    let acked = kept.link.publish(&stream, keyed("v:u1", "a", 1)).await.unwrap();
    let epoch = kept.all(&stream).await.head.epoch;
    server.crash();
    is_down(&kept).await;
    let refused = answered(kept.link.publish(&stream, a_post("down"))).await;
    assert_eq!(refused, Err(PublishError::Unavailable));
    server.restart();
    kept.wait_up().await;
    assert!(kept.connected().await.0 > first_connection.0);
    let again = kept.link.publish(&stream, keyed("v:u1", "a", 1)).await.unwrap();
    assert_eq!(again, Accepted { duplicate: true, ..acked });
    let next = kept.post(&stream, "after").await;
    let slice = kept.all(&stream).await;
    assert_eq!((next.seq, slice.head.epoch), (2, epoch));
    assert_eq!(slice.former, [FormerTimeline { timeline: None, end: 1 }], "another process goes on");
    assert_eq!(slice.head.timeline, slice.entries[1].timeline);
    assert!(slice.holds(&slice.entries[0].position()));
}

/// R3: a shard that comes back empty has no functions, no epoch and no ring.
#[tokio::test(flavor = "multi_thread")]
async fn r3_a_shard_that_comes_back_empty_begins_another_epoch() {
    let mut server = RedisServer::start();
    let mut kept = Kept::up(&server).await;
    let stream = stream("s");
    kept.post(&stream, "lost").await;
    let before = kept.all(&stream).await.head;
    server.crash();
    is_down(&kept).await;
    server.restart();
    kept.wait_up().await;
    kept.connected().await;
    let after = kept.post(&stream, "after").await;
    assert_eq!(after.seq, before.seq, "the number is used again");
    assert_ne!(kept.all(&stream).await.head.epoch, before.epoch, "in another epoch");
}

/// R2, G9: a frozen shard is noticed within 3 s, posts are answered within 1.5 s, and what was sent to it may run
/// later: once, for the same key.
#[tokio::test(flavor = "multi_thread")]
async fn r2_a_frozen_shard_is_noticed_and_comes_back() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let stream = stream("s");
    kept.post(&stream, "before").await;
    server.freeze();
    let frozen = Instant::now();
    let post = || async {
        let result = answered(kept.link.publish(&stream, keyed("v:u1", "a", 1))).await;
        assert_eq!(result, Err(PublishError::Unavailable));
    };
    post().await;
    is_down(&kept).await;
    while frozen.elapsed() < Duration::from_secs(5) {
        post().await;
    }
    server.thaw();
    kept.wait_up().await;
    kept.link.publish(&stream, keyed("v:u1", "a", 1)).await.unwrap();
    let slice = kept.all(&stream).await;
    assert_eq!((slice.head.seq, slice.entries.len()), (2, 2), "once, whoever did it");
}

/// R5: a subscriber that PUBLISH does not reach is deaf, though it answers. Here it lost its subscription, which on one
/// server is the nearest thing to a subscription on a demoted one.
#[tokio::test(flavor = "multi_thread")]
async fn r5_a_subscription_that_delivers_nothing_is_deafness() {
    let server = RedisServer::start();
    let mut kept = Kept::up(&server).await;
    let first = kept.connected().await;
    let life = kept.link.0.subscribing.living().unwrap();
    set_interest(&life.client, SubscriptionChange::End, vec!["ff:probe:pod-1".into()]).await.unwrap();
    let next = kept.connected().await;
    assert!(next.0 > first.0);
}

/// R4: after a failover to a replica that lagged, numbers are used again in the same epoch, under other ids: whoever
/// compares (epoch, seq, id) sees it in the head, and in the next entry's previous id.
#[tokio::test(flavor = "multi_thread")]
async fn r4_a_lagging_replica_uses_numbers_again_under_other_ids() {
    let primary = RedisServer::start();
    let old = Kept::up(&primary).await;
    let stream = stream("s");
    let shared = old.post(&stream, "shared").await;
    let port = primary.port().to_string();
    let replica = RedisServer::with(&["--save", "", "--replicaof", "127.0.0.1", &port]);
    let copied = || async { (replica.cli(&["XLEN", "ff:{s}:h"]) == "1").then_some(()) };
    eventually("the replica has the first entry", 3 * SOON, copied).await;
    replica.cli(&["REPLICAOF", "NO", "ONE"]);
    let lost = old.post(&stream, "lost").await;
    let before = old.all(&stream).await;

    let new = Kept::up(&replica).await;
    assert_eq!(new.all(&stream).await.head, before.entries[0].position(), "the head went back: a reset");
    let reused = new.post(&stream, "reused").await;
    let after = new.all(&stream).await;
    assert_eq!((reused.seq, after.head.epoch), (lost.seq, before.head.epoch));
    assert_ne!(after.head, before.head);
    assert_eq!(after.entries[1].previous, Some(shared.id));
    let next = new.post(&stream, "next").await;
    let entries = new.all(&stream).await.entries;
    assert_eq!((next.seq, entries[2].previous), (3, Some(reused.id)), "and not the id that was lost");
}

/// G4: a place that was lost in a failover is of another history, even when its number is in use again and trimmed.
#[tokio::test(flavor = "multi_thread")]
async fn g4_a_lost_place_that_is_trimmed_is_of_another_history() {
    let primary = RedisServer::start();
    let old = Kept::up(&primary).await;
    let stream = stream("s");
    old.post(&stream, "shared").await;
    let port = primary.port().to_string();
    let replica = RedisServer::with(&["--save", "", "--replicaof", "127.0.0.1", &port]);
    let copied = || async { (replica.cli(&["XLEN", "ff:{s}:h"]) == "1").then_some(()) };
    eventually("the replica has the first entry", 3 * SOON, copied).await;
    replica.cli(&["REPLICAOF", "NO", "ONE"]);
    let shared = old.all(&stream).await.head;
    old.post(&stream, "lost").await;
    let lost = old.all(&stream).await.head;

    let new = Kept::up(&replica).await;
    new.post(&stream, "used again").await;
    let again = new.all(&stream).await.head;
    new.post(&stream, "next").await;
    new.post(&stream, "newest").await;
    replica.cli(&["XTRIM", "ff:{s}:h", "MAXLEN", "1"]);
    let slice = new.all(&stream).await;
    assert_eq!((slice.head.seq, slice.start().seq, again.seq), (4, 3, lost.seq));
    for (place, is_held) in [(shared, true), (lost, false), (again, true)] {
        let told: Position = place.to_string().parse().unwrap();
        assert_eq!(slice.holds(&told), is_held, "{told}");
    }
}

/// R9: a full server refuses us; the pauses grow, and we are in when there is room.
#[tokio::test(flavor = "multi_thread")]
async fn r9_with_no_room_for_clients_it_waits_its_turn() {
    let server = RedisServer::with(&["--save", "", "--maxclients", "3"]);
    let console = std::cell::RefCell::new(server.console());
    let kept = keep(server.url(), "pod-1");
    let refused = || async {
        let stats = console.borrow_mut().ask("INFO stats");
        let count = stats.lines().find_map(|line| line.strip_prefix("rejected_connections:")?.parse().ok());
        (count.unwrap_or(0u32) > 2).then_some(())
    };
    eventually("refusals", 3 * SOON, refused).await;
    assert!(!kept.link.health().up);
    assert_eq!(console.borrow_mut().ask("CONFIG SET maxclients 100"), "+OK\r\n");
    kept.wait_up().await;
}

/// R11: a primary that becomes a replica is left, until the name leads to a primary again.
#[tokio::test(flavor = "multi_thread")]
async fn r11_a_read_only_server_is_left() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let stream = stream("s");
    kept.post(&stream, "before").await;
    let life = kept.link.0.posting.wire.living().unwrap();
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(kept.link.publish(&stream, a_post("refused")).await, Err(PublishError::Unavailable));
    let left = || async {
        let now = kept.link.0.posting.wire.living().map(|life| life.id);
        (now != Some(life.id)).then_some(())
    };
    eventually("another connection", SOON, left).await;
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    let posted = || async { kept.link.publish(&stream, a_post("after")).await.ok() };
    assert_eq!(eventually("a post", 3 * SOON, posted).await.seq, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_not_there_is_no_error_at_the_start() {
    let kept = keep("redis://127.0.0.1:1".into(), "pod-1");
    let refused = answered(kept.link.publish(&stream("s"), a_post("hi"))).await;
    assert_eq!(refused, Err(PublishError::Unavailable));
    assert_eq!(answered(kept.link.subscribe(&[stream("s")])).await, Err(Unavailable));
    assert_eq!(answered(kept.link.unsubscribe(&[stream("s")])).await, Ok(()));
    assert!(!kept.link.health().up);
}

#[tokio::test]
async fn a_bad_url_is_the_operators_mistake() {
    let bad = [
        ("http://a", BadUrl::Scheme),
        ("a:6379", BadUrl::Scheme),
        ("redis-cluster://a:6379", BadUrl::Scheme),
        ("redis://", BadUrl::Form),
        ("redis://a:b:c", BadUrl::Form),
        ("redis://a/x", BadUrl::Form),
    ];
    for (url, error) in bad {
        assert_eq!(Address::parse(url).err(), Some(error), "{url}");
    }
    assert!(Address::parse("redis://user:p%40ss@[::1]:6380/0?weight=2").is_ok());
}
