use std::time::Duration;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn rate(per_second: f64, burst: u32) -> Rate {
    Rate { per_second, burst }
}

fn limits(text: &str) -> Limits {
    Limits::new(LimitRules::from_json(text).unwrap())
}

fn stream(name: &str) -> StreamId {
    name.parse().unwrap()
}

#[test]
fn a_burst_is_had_at_once_and_then_the_rate() {
    let (pace, mut cell) = (rate(2.0, 3).into(), Cell::default());
    for _ in 0..3 {
        assert_eq!(cell.take(pace, 1, SECOND), Ok(()));
    }
    assert_eq!(cell.take(pace, 1, SECOND), Err(TooOften { wait: Duration::from_millis(500) }));
    assert_eq!(cell.take(pace, 1, SECOND + SECOND / 4), Err(TooOften { wait: Duration::from_millis(250) }));
    assert_eq!(cell.take(pace, 1, SECOND + SECOND / 2), Ok(()));
    assert!(cell.take(pace, 1, SECOND + SECOND / 2).is_err());
    // What is refused costs nothing: after a pause the burst is there again.
    assert_eq!(cell.take(pace, 3, 10 * SECOND), Ok(()));
    assert!(cell.take(pace, 1, 10 * SECOND).is_err());
    assert!(Cell::default().take(pace, 4, SECOND).is_err(), "more at once than the burst");
    let slow = rate(0.001, 1_000_000).into();
    assert!(Cell::default().take(slow, u32::MAX, SECOND).is_err(), "and no overflow");
}

#[test]
fn users_addresses_and_streams_are_counted_apart() {
    let two = r#"{"per_second": 0.001, "burst": 2}"#;
    let text = format!(
        r#"{{"posts": {{"user": {two}}}, "joins": {{"address": {two}, "stream": {{"per_second": 0.001, "burst": 5}}}}}}"#
    );
    let limits = limits(&text);
    let here: IpAddr = "192.0.2.1".parse().unwrap();
    let ann = limits.keys("ann", here, &stream("a"));
    let ben = limits.keys("ben", here, &stream("a"));
    for keys in [&ann, &ann, &ben, &ben] {
        assert!(limits.post(keys, None).is_ok());
    }
    assert!(limits.post(&ann, None).is_err() && limits.post(&ben, None).is_err());
    let elsewhere = limits.keys("ann", here, &stream("b"));
    assert!(limits.post(&elsewhere, None).is_err(), "a user is one in all streams");
    assert!(limits.join(&ann).is_ok() && limits.join(&ben).is_ok(), "posts use nothing of the joins");
    assert!(limits.join(&ann).is_err(), "the address has had its two");
    let from = |address: &str| limits.keys("eve", address.parse().unwrap(), &stream("a"));
    assert!(limits.join(&from("2001:db8::1")).is_ok() && limits.join(&from("2001:db8::ffff:2")).is_ok());
    assert!(limits.join(&from("2001:db8::3")).is_err(), "a network of 64 bits is one address");
    assert_eq!(from("::ffff:192.0.2.1"), from("192.0.2.1"));
    assert!(limits.join(&from("2001:db8:0:1::1")).is_ok());
    assert!(limits.join(&from("192.0.2.9")).is_err(), "the stream has had its five");
}

#[test]
fn a_socket_and_a_service_have_limits_of_their_own() {
    let one = r#"{"per_second": 0.001, "burst": 1}"#;
    let text = format!(
        r#"{{"posts": {{"viewer": {one}, "service": {one}}}, "frames": {{"viewer": {{"per_second": 1, "burst": 100}}}}}}"#
    );
    let limits = limits(&text);
    assert!(limits.0.table.shards.len() == SHARDS);
    let keys = limits.keys("ann", "192.0.2.1".parse().unwrap(), &stream("a"));
    let (mut first, mut second) = (Buckets::default(), Buckets::default());
    assert!(limits.post(&keys, Some(&mut first)).is_ok() && limits.post(&keys, Some(&mut second)).is_ok());
    assert!(limits.post(&keys, Some(&mut first)).is_err());
    assert!(limits.post_of_service("shop").is_ok() && limits.post_of_service("till").is_ok());
    assert!(limits.post_of_service("shop").is_err());
    assert!(limits.frames(&keys, &mut first, 100).is_ok() && limits.frames(&keys, &mut first, 1).is_err());
    assert!(limits.frames(&keys, &mut second, 101).is_err());
}

/// Strangers in any number use no more memory, and who is in debt stays in debt.
#[test]
fn strangers_push_out_each_other_and_not_who_is_in_debt() {
    let table = Table::new(SHARDS);
    let pace: Pace = rate(1.0, 10).into();
    let hasher = RandomState::new();
    let debtor = hasher.hash_one("debtor");
    assert!(table.take(debtor, pace, 10, SECOND).is_ok());
    for stranger in 0..500_000_u32 {
        assert!(table.take(hasher.hash_one(stranger), pace, 1, SECOND).is_ok());
    }
    assert!(table.take(debtor, pace, 1, SECOND).is_err());
    let bytes: usize = table.shards.iter().map(|shard| size_of_val(&**shard.lock())).sum();
    assert_eq!(bytes, 1024 * 1024);
}

#[test]
fn what_is_not_limited_costs_no_table() {
    assert_eq!(Limits::new(LimitRules::default()).0.table.shards.len(), 0);
    let own = r#"{"frames": {"viewer": {"per_second": 1, "burst": 1}}}"#;
    assert_eq!(limits(own).0.table.shards.len(), 0);
    assert_eq!(
        limits(r#"{"joins": {"address": {"per_second": 1, "burst": 1}}}"#).0.table.shards.len(),
        SHARDS
    );
}

#[test]
fn rules_that_make_no_sense_are_told() {
    let wrong = [
        "",
        "[]",
        r#"{"posts": []}"#,
        // Symptom: these were limits. Cause: serde reads a struct from an array of its fields as well.
        "[{}, {}, {}]",
        r#"{"joins": [null, null, null]}"#,
        r#"{"posts": {"user": [1, 1]}}"#,
        r#"{"posts": {"user": {"per_second": 1, "burst": 1}}, "posts": {}}"#,
        r#"{"posts": {"nobody": {"per_second": 1, "burst": 1}}}"#,
        r#"{"posts": {"user": {"per_second": 1}}}"#,
        r#"{"posts": {"user": {"per_second": 0, "burst": 1}}}"#,
        r#"{"posts": {"user": {"per_second": -1, "burst": 1}}}"#,
        r#"{"frames": {"stream": {"per_second": 1, "burst": 1}}}"#,
        r#"{"joins": {"viewer": {"per_second": 1, "burst": 1}}}"#,
        r#"{"joins": {"user": {"per_second": 1, "burst": 0}}}"#,
        r#"{"joins": {"user": {"per_second": 1e9, "burst": 1}}}"#,
    ];
    for text in wrong {
        assert!(LimitRules::from_json(text).is_err(), "{text}");
    }
    assert_eq!(LimitRules::from_json("{}"), Ok(LimitRules::default()));
    assert!(LimitRules::from_json(include_str!("../../deploy/limits.json")).is_ok(), "the example");
}

/// Symptom: posts of an outage were refused once the shard was back. Cause: each repetition was charged as a post.
#[test]
fn posts_that_were_not_taken_or_were_there_already_are_given_back() {
    let three = r#"{"per_second": 0.001, "burst": 3}"#;
    let rules = format!(r#"{{"posts": {{"viewer": {three}, "user": {three}, "service": {three}}}}}"#);
    let limits = limits(&rules);
    let keys = limits.keys("ann", "192.0.2.1".parse().unwrap(), &stream("a"));
    let mut buckets = Buckets::default();
    for _ in 0..50 {
        assert!(limits.post(&keys, Some(&mut buckets)).is_ok());
        limits.settle(&keys, Some(&mut buckets), PostCharge::Nothing);
        assert!(limits.post_of_service("shop").is_ok());
        limits.settle_of_service("shop", PostCharge::Nothing);
    }
    // Repetitions are free as often as posts may come; a flood of them counts.
    let free = (0..50).take_while(|_| {
        let may = limits.post(&keys, None).is_ok();
        limits.settle(&keys, None, PostCharge::Repetition);
        may
    });
    assert_eq!(free.count(), 6);
    for _ in 0..3 {
        assert!(limits.post_of_service("shop").is_ok());
        limits.settle_of_service("shop", PostCharge::Full);
    }
    assert!(limits.post_of_service("shop").is_err());
}

#[test]
fn a_post_that_one_limit_refuses_counts_for_none() {
    let rules = r#"{"posts": {
        "viewer": {"per_second": 0.001, "burst": 3}, "user": {"per_second": 0.001, "burst": 3},
        "stream": {"per_second": 0.001, "burst": 1}
    }}"#;
    let limits = limits(rules);
    let keys = |name| limits.keys("ann", "192.0.2.1".parse().unwrap(), &stream(name));
    let mut buckets = Buckets::default();
    assert!(limits.post(&keys("a"), Some(&mut buckets)).is_ok());
    for _ in 0..9 {
        assert!(limits.post(&keys("a"), Some(&mut buckets)).is_err(), "the stream has had its one");
    }
    for name in ["b", "c"] {
        assert!(limits.post(&keys(name), Some(&mut buckets)).is_ok(), "{name}");
    }
    assert!(limits.post(&keys("d"), Some(&mut buckets)).is_err(), "three of the viewer's and the user's");
}
