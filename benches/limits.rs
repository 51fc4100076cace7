//! What counting a frame against its limits costs. `cargo bench --bench limits`; fails over 1 µs.

#![allow(
    clippy::print_stdout,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark's result is what it prints"
)]

use std::{hint::black_box, net::Ipv4Addr, time::Instant};

use fanfare::limits::{Buckets, LimitRules, Limits, RateKeys};

/// How many frames are counted for one figure.
const FRAMES: u32 = 2_000_000;
/// What a frame may cost.
const MOST_NS: f64 = 1_000.0;

fn main() {
    let one = r#"{"per_second": 1000000, "burst": 1000000}"#;
    let rules = [
        ("no limit", "{}".to_owned()),
        ("by viewer", format!(r#"{{"frames": {{"viewer": {one}}}}}"#)),
        (
            "by viewer, user and address",
            format!(r#"{{"frames": {{"viewer": {one}, "user": {one}, "address": {one}}}}}"#),
        ),
    ];
    println!("| limits of frames | users | one thread | two threads |");
    println!("|---|---|---|---|");
    for (name, rules) in rules {
        let limits = Limits::new(LimitRules::from_json(&rules).unwrap());
        for users in [1, 100_000] {
            let one = frame_ns(&limits, users);
            let two = std::thread::scope(|scope| {
                let other = scope.spawn(|| frame_ns(&limits, users));
                frame_ns(&limits, users).max(other.join().unwrap())
            });
            println!("| {name} | {users} | {one:.0} ns a frame | {two:.0} ns a frame |");
            assert!(one.max(two) <= MOST_NS, "a frame may cost {MOST_NS} ns");
        }
    }
}

/// Nanoseconds for each frame, counted one by one for viewers who take turns.
fn frame_ns(limits: &Limits, users: u32) -> f64 {
    let stream = "lobby".parse().unwrap();
    let keys = |user: u32| limits.keys(&user.to_string(), Ipv4Addr::from(user).into(), &stream);
    let mut viewers: Vec<(RateKeys, Buckets)> =
        (0..users).map(|user| (keys(user), Buckets::default())).collect();
    let count = viewers.len();
    let begin = Instant::now();
    for frame in 0..FRAMES {
        let (keys, buckets) = &mut viewers[(frame as usize * 7_919) % count];
        let _ = black_box(limits.frames(black_box(keys), buckets, 1));
    }
    begin.elapsed().as_secs_f64() * 1e9 / f64::from(FRAMES)
}
