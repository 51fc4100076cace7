//! The functions: order, idempotency, epochs, and what a failed call leaves behind.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn g1_entries_are_numbered_in_commit_order_without_holes() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let stream = stream("s");
    let mut posted = Vec::new();
    for body in ["one", "two", "three"] {
        posted.push(kept.post(&stream, body).await);
    }
    assert_eq!(posted.iter().map(|accepted| accepted.seq).collect::<Vec<_>>(), [1, 2, 3]);
    let slice = kept.all(&stream).await;
    let entries: Vec<_> = slice.entries.iter().map(|entry| (entry.seq, entry.id)).collect();
    assert_eq!(entries, posted.iter().map(|accepted| (accepted.seq, accepted.id)).collect::<Vec<_>>());
    assert_eq!(slice.entries[0].previous, None);
    assert_eq!(slice.entries[2].previous, Some(posted[1].id));
    assert_eq!(slice.entries[2].position(), slice.head);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert!(u128::from(slice.entries[0].at_ms).abs_diff(now) < 60_000, "at is the shard's time, in ms");
    let gift = Post { kind: Kind::Gift, ..a_post("gift") };
    kept.link.publish(&stream, gift).await.unwrap();
    let tally = kept.link.tally(&stream).await.unwrap();
    assert_eq!(tally, Some(KindCounts { comment: 3, gift: 1, ..KindCounts::default() }));
    assert_eq!(kept.link.tally(&super::stream("nobody")).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_is_the_newest_after_a_place() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let stream = stream("s");
    for n in 0..10 {
        kept.post(&stream, &n.to_string()).await;
    }
    for (after_seq, newest, expected) in
        [(0, 3, 8..11), (7, 100, 8..11), (10, 5, 0..0), (99, 5, 0..0), (2, 0, 0..0)]
    {
        let slice = kept.link.read(&stream, SliceRange { after_seq, newest }, Epoch::random()).await.unwrap();
        let seqs: Vec<u64> = slice.entries.iter().map(|entry| entry.seq).collect();
        assert_eq!(seqs, expected.collect::<Vec<u64>>(), "after {after_seq}, newest {newest}");
        assert_eq!(slice.head.seq, 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_trimmed_to_about_its_window() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let stream = stream("s");
    let posts: Vec<_> = (0..500).map(|_| kept.post(&stream, "hi")).collect();
    futures_util::future::join_all(posts).await;
    let slice = kept.all(&stream).await;
    assert!((100..200).contains(&slice.entries.len()), "{}", slice.entries.len());
    assert_eq!((slice.entries.last().unwrap().seq, slice.head.seq), (500, 500));
}

/// Several posts in one call are as many calls: in their order, each with its own answer, up to the first that fails.
#[tokio::test(flavor = "multi_thread")]
async fn posts_of_one_call_are_in_their_order_and_each_is_answered() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let stream = stream("s");
    let first = kept.link.publish(&stream, keyed("s:shop", "a", 1)).await.unwrap();
    let traced = Post { trace: Some(TRACE.parse().unwrap()), ..a_post("traced") };
    let gift = Post { kind: Kind::Gift, ..keyed("s:shop", "b", 2) };
    let posts = [a_post("one"), keyed("s:shop", "a", 1), keyed("s:shop", "a", 9), traced, gift.clone(), gift];
    let answers = kept.link.publish_all(&stream, &posts).await;
    let seqs: Vec<_> =
        answers.iter().map(|answer| answer.map(|accepted| (accepted.seq, accepted.duplicate))).collect();
    let reused = Err(PublishError::IdReused);
    assert_eq!(seqs, [Ok((2, false)), Ok((1, true)), reused, Ok((3, false)), Ok((4, false)), Ok((4, true))]);
    assert_eq!(answers[1].unwrap().id, first.id);
    let slice = kept.all(&stream).await;
    assert_eq!(slice.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(slice.entries[2].trace.map(|trace| trace.to_string()).as_deref(), Some(TRACE));
    assert_eq!(kept.link.publish_all(&stream, &[]).await, []);

    let older = Post { ring_epoch: 0, ..a_post("of an older list") };
    let refused = kept.link.publish_all(&stream, &[older.clone(), older]).await;
    assert_eq!(refused, [Err(PublishError::Unavailable); 2]);
    // The last number of an epoch: the call ends in the middle, and says what it did.
    let meta = format!("{} 9007199254740990 ~ 0 0 0", Epoch::random());
    server.cli(&["SET", "ff:{end}:m", &meta]);
    let end = super::stream("end");
    let answers =
        kept.link.publish_all(&end, &[a_post("last"), a_post("none left"), a_post("nor here")]).await;
    assert_eq!(answers[0].map(|accepted| accepted.seq), Ok(9_007_199_254_740_991));
    assert_eq!(answers[1..], [Err(PublishError::Unavailable); 2]);
}

/// The name of a caller's span.
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test(flavor = "multi_thread")]
async fn g6_a_repeated_post_is_in_the_stream_once() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let stream = stream("s");
    let first = kept.link.publish(&stream, keyed("v:u1", "a", 1)).await.unwrap();
    kept.post(&stream, "between").await;
    let again = kept.link.publish(&stream, keyed("v:u1", "a", 1)).await.unwrap();
    assert_eq!(again, Accepted { duplicate: true, ..first });
    let other_content = kept.link.publish(&stream, keyed("v:u1", "a", 2)).await;
    assert_eq!(other_content, Err(PublishError::IdReused));
    let other_owner = kept.link.publish(&stream, keyed("s:u1", "a", 2)).await.unwrap();
    assert_eq!((other_owner.seq, other_owner.duplicate), (3, false));
    assert_eq!(kept.all(&stream).await.head.seq, 3);
}

/// G6: a key is known for two generations, so for at least 10 minutes. Renaming makes a generation older.
#[tokio::test(flavor = "multi_thread")]
async fn g6_a_key_is_known_for_two_generations() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let stream = stream("s");
    let first = kept.link.publish(&stream, keyed("v:u1", "a", 1)).await.unwrap();
    let key = server.cli(&["KEYS", "ff:{s}:i:*"]);
    let generation: u64 = key.rsplit(':').next().unwrap().parse().unwrap();
    let ttl: u64 = server.cli(&["TTL", &key]).parse().unwrap();
    assert!((600..=1200).contains(&ttl), "{ttl}");
    // Time passes for the keys: they, and what meta knows of them, become one generation older.
    let older = |by: u64| format!("ff:{{s}}:i:{}", generation - by);
    server.cli(&["RENAME", &key, &older(1)]);
    let meta = server.cli(&["GET", "ff:{s}:m"]);
    let aged = meta.replace(&format!(" {generation} "), &format!(" {} ", generation - 1));
    assert_ne!(aged, meta);
    server.cli(&["SET", "ff:{s}:m", &aged]);
    assert!(kept.link.publish(&stream, keyed("v:u1", "a", 1)).await.unwrap().duplicate);
    kept.link.publish(&stream, keyed("v:u1", "b", 1)).await.unwrap();
    for id in ["a", "b"] {
        let again = kept.link.publish(&stream, keyed("v:u1", id, 1)).await.unwrap();
        assert!(again.duplicate, "{id}: both generations are asked");
    }
    server.cli(&["SET", "ff:{s}:m", "broken"]);
    assert!(
        kept.link.publish(&stream, keyed("v:u1", "a", 1)).await.unwrap().duplicate,
        "a stream that lost its meta still knows its keys"
    );
    server.cli(&["DEL", "ff:{s}:m", &key]);
    server.cli(&["RENAME", &older(1), &older(2)]);
    let anew = kept.link.publish(&stream, keyed("v:u1", "a", 1)).await.unwrap();
    assert_eq!((anew.seq, anew.duplicate), (first.seq, false), "the first of another epoch");
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_an_older_ring_is_refused_for_every_stream_of_the_shard() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    kept.link.publish(&stream("s"), Post { ring_epoch: 10, ..a_post("new") }).await.unwrap();
    let older = kept.link.publish(&stream("t"), Post { ring_epoch: 9, ..a_post("old") }).await;
    assert_eq!(older, Err(PublishError::Unavailable));
    kept.link.publish(&stream("t"), Post { ring_epoch: 10, ..a_post("new") }).await.unwrap();
    assert_eq!(kept.all(&stream("t")).await.head.seq, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p13_the_last_number_is_taken_and_none_after_it() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let stream = stream("s");
    kept.post(&stream, "first").await;
    let meta = server.cli(&["GET", "ff:{s}:m"]).replacen(" 1 ", " 9007199254740990 ", 1);
    server.cli(&["SET", "ff:{s}:m", &meta]);
    assert_eq!(kept.post(&stream, "last").await.seq, (1 << 53) - 1);
    let beyond = kept.link.publish(&stream, a_post("beyond")).await;
    assert_eq!(beyond, Err(PublishError::Unavailable));
    let slice = kept.all(&stream).await;
    assert_eq!(
        (slice.head.seq, slice.entries.len()),
        ((1 << 53) - 1, 1),
        "exact, and the hole is not bridged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_stream_has_an_epoch_and_a_wiped_one_gets_another() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let stream = stream("s");
    assert_eq!(kept.link.heads(std::slice::from_ref(&stream)).await.unwrap(), [None]);
    let candidate = Epoch::random();
    let empty = kept.link.read(&stream, SliceRange { after_seq: 0, newest: 9 }, candidate).await.unwrap();
    assert_eq!(empty, HistorySlice { head: Position::start_of(candidate), former: vec![], entries: vec![] });
    let first = kept.post(&stream, "hi").await;
    let slice = kept.all(&stream).await;
    assert_eq!(
        slice.head,
        Position::after(candidate, first.seq, first.id),
        "the post took the epoch it found"
    );
    server.cli(&["DEL", "ff:{s}:m"]);
    let second = kept.post(&stream, "hi").await;
    let after = kept.all(&stream).await;
    assert_eq!((second.seq, after.entries.len()), (1, 1), "the history of the lost epoch is gone too");
    assert_ne!(after.head.epoch, candidate);
    let others = [stream.clone(), "t".parse().unwrap()];
    assert_eq!(kept.link.heads(&others).await.unwrap(), [Some(after.head), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ttls_are_set_by_posts_and_refreshed_by_watching() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let stream = stream("s");
    kept.post(&stream, "hi").await;
    let ttl = |key: &str| server.cli(&["PTTL", key]).parse::<i64>().unwrap();
    for refresh in ["post", "heads", "read"] {
        match refresh {
            "heads" => _ = kept.link.heads(std::slice::from_ref(&stream)).await.unwrap(),
            "read" => _ = kept.all(&stream).await,
            _ => {}
        }
        let (meta, history) = (ttl("ff:{s}:m"), ttl("ff:{s}:h"));
        assert!(meta > 3_590_000 && history <= 3_600_000, "{refresh}: {meta} {history}");
        server.cli(&["PEXPIRE", "ff:{s}:m", "100000"]);
        server.cli(&["PEXPIRE", "ff:{s}:h", "100000"]);
    }
}

/// What a call leaves that fails after XADD (here: a user who may not HSET) is never seen, and the next post takes it
/// out: no number is used twice, none is left out, and the retry is in the stream once.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_failed_midway_leaves_nothing() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let stream = stream("s");
    let first = kept.post(&stream, "first").await;
    server.cli(&["ACL", "SETUSER", "default", "-hset"]);
    for _ in 0..2 {
        let failed = kept.link.publish(&stream, keyed("v:u1", "a", 1)).await;
        assert_eq!(failed, Err(PublishError::Unavailable));
    }
    assert_eq!(server.cli(&["XLEN", "ff:{s}:h"]), "2", "XADD had been done");
    let slice = kept.all(&stream).await;
    assert_eq!((slice.head.seq, slice.entries.len()), (1, 1), "and nobody reads it");
    server.cli(&["ACL", "SETUSER", "default", "+hset"]);
    let retried = kept.link.publish(&stream, keyed("v:u1", "a", 1)).await.unwrap();
    assert_eq!((retried.seq, retried.duplicate), (2, false));
    assert!(kept.link.publish(&stream, keyed("v:u1", "a", 1)).await.unwrap().duplicate);
    let entries = kept.all(&stream).await.entries;
    assert_eq!(entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [first.id, retried.id]);
}

/// Symptom: a post was acked as the duplicate of another's entry, and was in the stream nowhere. Cause: the call that
/// remembered its key failed before the commit, another post took the number, and the memory was trusted.
#[tokio::test(flavor = "multi_thread")]
async fn g6_a_key_remembered_by_a_failed_call_is_no_duplicate() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let stream = stream("s");
    kept.post(&stream, "first").await;
    server.cli(&["ACL", "SETUSER", "default", "-set"]);
    let failed = kept.link.publish(&stream, keyed("v:u1", "a", 1)).await;
    assert_eq!(failed, Err(PublishError::Unavailable));
    server.cli(&["ACL", "SETUSER", "default", "+set"]);
    assert_eq!(kept.post(&stream, "another's").await.seq, 2);
    let retried = kept.link.publish(&stream, keyed("v:u1", "a", 1)).await.unwrap();
    assert_eq!((retried.seq, retried.duplicate), (3, false));
    let again = kept.link.publish(&stream, keyed("v:u1", "a", 1)).await.unwrap();
    assert_eq!(again, Accepted { duplicate: true, ..retried });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_history_is_a_short_window_and_the_order_goes_on() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let stream = stream("s");
    for body in ["one", "two", "three"] {
        kept.post(&stream, body).await;
    }
    server.cli(&["XDEL", "ff:{s}:h", "2-0"]);
    let slice = kept.all(&stream).await;
    assert_eq!((slice.head.seq, slice.entries.len()), (3, 1), "nothing before a hole");
    server.cli(&["DEL", "ff:{s}:h"]);
    assert_eq!(kept.all(&stream).await.entries, []);
    assert_eq!(kept.post(&stream, "four").await.seq, 4);
    assert_eq!(kept.all(&stream).await.entries.len(), 1);
    server.cli(&["XADD", "ff:{s}:h", "9-0", "e", "garbage"]);
    assert_eq!(kept.post(&stream, "five").await.seq, 5, "what is beyond meta gives way");
    assert_eq!(kept.all(&stream).await.entries.len(), 2);
}

/// R10, and a fact: with memory exceeded a post is refused before it wrote anything, while reading and PUBLISH work.
#[tokio::test(flavor = "multi_thread")]
async fn r10_with_memory_full_posts_are_refused_and_reading_goes_on() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let stream = stream("s");
    kept.post(&stream, "before").await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = kept.link.publish(&stream, keyed("v:u1", "a", 1)).await;
    assert_eq!(refused, Err(PublishError::Unavailable));
    let slice = kept.all(&stream).await;
    assert_eq!((slice.head.seq, slice.entries.len()), (1, 1));
    assert!(kept.link.heads(std::slice::from_ref(&stream)).await.unwrap()[0].is_some());
    assert_eq!(server.cli(&["PUBLISH", "ff:{s}", "x"]), "0");
    assert!(kept.link.health().up, "the probe is a plain PUBLISH");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    let after = kept.link.publish(&stream, keyed("v:u1", "a", 1)).await.unwrap();
    assert_eq!((after.seq, after.duplicate), (2, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_functions_are_loaded_again() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let stream = stream("s");
    kept.post(&stream, "before").await;
    server.cli(&["FUNCTION", "FLUSH"]);
    let posts = (0..50).map(|_| kept.post(&stream, "after"));
    futures_util::future::join_all(posts).await;
    assert_eq!(kept.all(&stream).await.head.seq, 51);
}

/// Symptom: of 500 streams that were compared together none was, where one had a key of another type. Cause: the
/// function failed as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_key_in_the_place_of_one_stream_fails_no_other() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let (spoiled, sound) = (stream("spoiled"), stream("sound"));
    kept.post(&sound, "hi").await;
    server.cli(&["SADD", "ff:{spoiled}:m", "not a string"]);
    let heads = kept.link.heads(&[spoiled.clone(), sound]).await.unwrap();
    assert_eq!(heads.iter().map(|head| head.map(|head| head.seq)).collect::<Vec<_>>(), [None, Some(1)]);
    assert_eq!(kept.post(&spoiled, "hi").await.seq, 1, "a post makes it a stream again");
}

/// The name of a post's span is the envelope's last word. Functions from before spans, which know nothing of it, post
/// as ever: it is no key of idempotency to them.
#[tokio::test(flavor = "multi_thread")]
async fn a_traced_post_names_its_span_in_the_envelope() {
    let source = include_str!("../../../../../deploy/redis/fanfare.lua");
    let older = source.replace(" .. trace_of(keys[2])", "");
    assert_ne!(older, source);
    let server = RedisServer::start();
    // As the users that we ship: only keys that begin with ff: may be named.
    server.cli(&["ACL", "SETUSER", "pod", "on", ">secret", "+@all", "resetkeys", "~ff:*", "&ff:*"]);
    let kept = keep(server.url_of("pod", "secret"), "pod-1");
    kept.wait_up().await;
    let stream = stream("s");
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().ok();
    let traced = |body: &str| Post { trace, ..a_post(body) };
    for (library, expected) in [(source, trace), (&older, None)] {
        assert_eq!(server.cli(&["FUNCTION", "LOAD", "REPLACE", library]), "fanfare");
        for body in ["one", "two"] {
            // A busy machine may take longer than the second in which a post is answered.
            let posted = eventually("a post is taken", SOON, async || {
                kept.link.publish(&stream, traced(body)).await.ok()
            });
            assert!(!posted.await.duplicate);
            assert_eq!(kept.all(&stream).await.entries.last().unwrap().trace, expected);
        }
        let keyed = Post { trace, ..keyed("v:u1", "a", 1) };
        assert_eq!(kept.link.publish(&stream, keyed).await.unwrap().duplicate, expected.is_none());
    }
    kept.post(&stream, "without a span").await;
    assert_eq!(kept.all(&stream).await.entries.last().unwrap().trace, None);
}
