//! Streams that are watched and left by the thousand, while connections die.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use testkit::eventually;

use super::fixture::{Fixture, PATIENCE};
use crate::domain::StreamId;

fn streams(count: usize) -> Vec<StreamId> {
    (0..count).map(|number| format!("s{number}").parse().unwrap()).collect()
}

/// S1: the last viewer leaves while the first comes, a hundred thousand times, and comments come all the while: what is
/// watched at the end is heard and complete, and nothing else is heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s1_last_leaves_against_first_joins() {
    const FLAPS: usize = 100_000;
    let fixture = Fixture::open(Duration::ZERO).await;
    let streams = streams(40);
    let over = AtomicBool::new(false);
    let flapping = async {
        let mut held = VecDeque::new();
        for flap in 0..FLAPS {
            let stream = &streams[rand::random_range(0..streams.len())];
            drop(fixture.sit(stream));
            // Now and then one stays for a while, and the keeper has the time of a post to follow.
            if flap % 25 == 0 {
                held.push_back(fixture.sit(stream));
                if held.len() > 5 {
                    held.pop_front();
                }
                fixture.post(stream).await;
            }
        }
        over.store(true, Relaxed);
    };
    let publishing = async {
        while !over.load(Relaxed) {
            fixture.post(&streams[rand::random_range(0..streams.len())]).await;
        }
    };
    tokio::join!(flapping, publishing);
    let churn = fixture.status().subscribe_churn;
    assert!(churn > 100, "the subscriptions followed: {churn}");
    let seats: Vec<_> = streams[..20].iter().map(|stream| (stream, fixture.sit(stream))).collect();
    fixture.hears(20).await;
    for (stream, seat) in &seats {
        seat.opened().await;
        fixture.post(stream).await;
        fixture.has_everything(stream, seat).await;
    }
    drop(seats);
    fixture.hears(0).await;
    eventually("no stream is left", PATIENCE, async || (fixture.hub.totals().streams == 0).then_some(()))
        .await;
    fixture.close().await;
}

/// Symptom: streams whose viewers left at once stayed in memory for ever, a new one for each name that somebody thought
/// of. Cause: the keeper, which forgets what was unsubscribed from, had never subscribed to them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_who_leave_at_once_leave_nothing_behind() {
    let fixture = Fixture::open(Duration::ZERO).await;
    streams(1_000).iter().for_each(|stream| drop(fixture.sit(stream)));
    let stays: StreamId = "stays".parse().unwrap();
    let seat = fixture.sit(&stays);
    eventually("only what is watched", PATIENCE, async || (fixture.hub.totals().streams == 1).then_some(()))
        .await;
    fixture.post(&stays).await;
    fixture.has_everything(&stays, &seat).await;
    fixture.close().await;
}

/// S5: the connection is killed when half of 10,000 streams are subscribed to again, and once more; then exactly what
/// is watched is heard, and what was posted meanwhile is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s5_a_second_reconnect_during_resubscription() {
    const STREAMS: usize = 10_000;
    let fixture = Fixture::open(Duration::ZERO).await;
    let streams = streams(STREAMS + 1);
    let mut seats: Vec<_> = streams[..STREAMS].iter().map(|stream| fixture.sit(stream)).collect();
    fixture.hears(STREAMS).await;
    for seat in &seats {
        seat.opened().await;
    }
    let kill = || fixture.redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    kill();
    for round in 0..2 {
        // On a machine that has no time for a look in between it may be all of them.
        let some_done = async || (fixture.channels() > 0).then_some(());
        eventually("some of them", PATIENCE, some_done).await;
        for stream in &streams[round * 50..(round + 1) * 50] {
            fixture.post(stream).await;
        }
        kill();
    }
    // One more is watched meanwhile, and one is left.
    seats.push(fixture.sit(&streams[STREAMS]));
    drop(seats.swap_remove(0));
    fixture.hears(STREAMS).await;
    let left = fixture.redis.cli(&["PUBSUB", "NUMSUB", "ff:{s0}"]);
    assert_eq!(left, "ff:{s0}\n0");
    for (stream, seat) in streams[1..100].iter().zip(&seats[1..]) {
        fixture.has_everything(stream, seat).await;
    }
    drop(seats);
    fixture.hears(0).await;
    fixture.close().await;
}
