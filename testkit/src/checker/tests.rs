//! The checker passes a good log and rejects each planted fault, by its rule.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Footprint, Ledger, Outcome, Posted, Rest, Rule, Watch};

const EPOCH: &str = "AAAAAAAA";

fn comments(numbers: std::ops::RangeInclusive<u64>) -> Value {
    let end = *numbers.end();
    let comments: Vec<_> =
        numbers.map(|n| json!({"seq": n, "id": format!("id{n}"), "body": format!("text {n}")})).collect();
    json!({"type": "comments", "comments": comments, "position": format!("{EPOCH}.{end}.id{end}")})
}

fn at(kind: &str, epoch: &str, seq: u64) -> Value {
    json!({"type": kind, "resumed": "all", "position": format!("{epoch}.{seq}.x")})
}

fn good_frames() -> Vec<Value> {
    vec![
        at("hello", EPOCH, 0),
        comments(1..=3),
        json!({"type": "viewers", "viewers": 2}),
        at("hello", EPOCH, 3),
        comments(4..=4),
        at("skipped", EPOCH, 6),
        comments(7..=8),
        json!({"type": "hello", "resumed": "reset", "position": "BBBBBBBB.0.~"}),
        at("reset", "BBBBBBBB", 0),
    ]
}

/// Eight posts one after the other, and one whose outcome nobody knows.
fn good_posts() -> Vec<Posted> {
    let start = Instant::now();
    let post = |n: u64| {
        let sent = start + Duration::from_millis(10 * n);
        let outcome = match n {
            9 => Outcome::Unknown,
            _ => Outcome::Acked { id: format!("id{n}"), seq: n, duplicate: false },
        };
        let answered = sent + Duration::from_millis(5);
        Posted { stream: "s".into(), body: format!("text {n}"), sent, answered, outcome }
    };
    (1..=9).map(post).collect()
}

fn ledger(frames: &[Value]) -> Ledger {
    let whole = [at("hello", EPOCH, 0), comments(1..=8)];
    let watches = vec![Watch::of("s", &whole), Watch::of("s", frames)];
    Ledger { posts: good_posts(), watches, ..Ledger::default() }
}

/// The rules that reject a log.
fn rejecting(ledger: &Ledger) -> Vec<Rule> {
    let mut rules: Vec<_> = ledger.breaches().into_iter().map(|breach| breach.rule).collect();
    rules.dedup();
    rules
}

#[test]
fn a_good_log_passes() {
    ledger(&good_frames()).assert_kept();
}

#[test]
fn c1_a_number_that_is_left_out_twice_given_or_of_another_epoch_is_rejected() {
    let start = at("hello", EPOCH, 0);
    for (frames, what) in [
        (vec![start.clone(), comments(1..=3), comments(5..=8)], "left out"),
        (vec![start.clone(), comments(2..=8)], "not the first"),
        (vec![start.clone(), comments(1..=8), at("gap", EPOCH, 4), comments(5..=8)], "back"),
        (vec![start.clone(), comments(1..=5), at("hello", EPOCH, 6), comments(7..=8)], "resumed too late"),
    ] {
        assert!(rejecting(&ledger(&frames)).contains(&Rule::C1), "{what}");
    }
    let mut other = comments(5..=8);
    other["position"] = "CCCCCCCC.8.id8".into();
    assert!(rejecting(&ledger(&[start, comments(1..=4), other])).contains(&Rule::C1), "another epoch");
}

#[test]
fn c2_an_acked_comment_that_never_came_is_rejected() {
    assert_eq!(rejecting(&ledger(&[at("hello", EPOCH, 0), comments(1..=7)])), [Rule::C2], "the last one");
    let reset = [at("hello", EPOCH, 0), at("reset", EPOCH, 0), comments(1..=7)];
    assert_eq!(rejecting(&ledger(&reset)), [Rule::C2], "a reset excuses nothing that the history has");
}

/// What was acked before a shard forgot may be gone, and what was acked after it may not.
#[test]
fn c2_what_was_acked_after_a_shard_forgot_is_owed() {
    let reset = [at("hello", EPOCH, 0), comments(1..=6), at("reset", "BBBBBBBB", 0)];
    let mut ledger = ledger(&reset);
    ledger.watches.remove(0);
    assert_eq!(rejecting(&ledger), [], "nobody has the last two");
    let until = |ledger: &Ledger, post: usize| [("s".to_owned(), ledger.posts[post].answered)].into();
    ledger.forgotten = until(&ledger, 7);
    assert_eq!(rejecting(&ledger), [], "all were acked before");
    ledger.forgotten = until(&ledger, 6);
    assert_eq!(rejecting(&ledger), [Rule::C2], "the last one was acked after");
}

#[test]
fn c3_a_post_at_two_places_is_rejected() {
    let mut twice = ledger(&[at("hello", EPOCH, 0), comments(1..=8)]);
    twice.posts.push(twice.posts[2].clone());
    assert_eq!(rejecting(&twice), [], "the same answer again");
    twice.posts[9].outcome = Outcome::Acked { id: "id9".into(), seq: 9, duplicate: false };
    assert!(rejecting(&twice).contains(&Rule::C3), "two answers");
    let frames = [at("hello", EPOCH, 0), comments(1..=8), at("gap", EPOCH, 8), comments(8..=8)];
    assert!(rejecting(&ledger(&frames)).contains(&Rule::C3), "shown twice");
}

#[test]
fn c4_viewers_that_disagree_are_rejected() {
    let mut other = comments(1..=8);
    other["comments"][4]["id"] = "another".into();
    other["comments"][4]["body"] = "text 9".into();
    let mut ledger = ledger(&[at("hello", EPOCH, 0), other.clone()]);
    assert!(rejecting(&ledger).contains(&Rule::C4));
    ledger.rolled_back = true;
    assert!(rejecting(&ledger).contains(&Rule::C4), "a rollback is told");
    let again = [at("hello", EPOCH, 0), other, at("reset", EPOCH, 0), comments(1..=8)];
    ledger.watches[1] = Watch::of("s", &again);
    assert!(!rejecting(&ledger).contains(&Rule::C4), "a rollback uses numbers again");
}

#[test]
fn c5_an_order_against_the_answers_is_rejected() {
    let mut ledger = ledger(&good_frames());
    let (third, fifth) = (ledger.posts[2].sent, ledger.posts[4].sent);
    (ledger.posts[2].sent, ledger.posts[4].sent) = (fifth, third);
    ledger.posts[2].answered = fifth + Duration::from_millis(5);
    ledger.posts[4].answered = third + Duration::from_millis(5);
    assert_eq!(rejecting(&ledger), [Rule::C5]);
}

#[test]
fn c6_what_nobody_sent_is_rejected() {
    let mut ledger = ledger(&good_frames());
    ledger.posts.retain(|post| post.body != "text 2");
    assert_eq!(rejecting(&ledger), [Rule::C6]);
}

#[test]
fn c7_what_a_pod_keeps_after_quiet_is_rejected() {
    let before = Footprint { descriptors: 30, threads: 5, resident_bytes: 20 << 20, ..Footprint::default() };
    let resting = |after: Footprint| {
        let rest = Rest { pod: "one".into(), before, after, most_viewers: 10 };
        rejecting(&Ledger { rests: vec![rest], ..ledger(&good_frames()) })
    };
    assert_eq!(resting(Footprint { resident_bytes: 40 << 20, ..before }), [], "what an allocator keeps");
    for (after, what) in [
        (Footprint { viewers: 1, ..before }, "a viewer"),
        (Footprint { streams: 1, ..before }, "a stream"),
        (Footprint { subscriptions: 1, ..before }, "a subscription"),
        (Footprint { descriptors: 40, ..before }, "descriptors"),
        (Footprint { threads: 9, ..before }, "threads"),
        (Footprint { resident_bytes: 80 << 20, ..before }, "memory"),
    ] {
        assert_eq!(resting(after), [Rule::C7], "{what}");
    }
}
