//! The hub between real threads: what only an unlucky moment shows.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    rig::{Rig, Viewer, comments},
    wire::places,
};
use crate::hub::Lane;

const ROUNDS: u64 = 150;
const COMMENTS: u64 = 40;

/// Runs a lane as its worker would: it looks only when it was woken, and once more after the last word.
fn run(mut lane: Lane, over: &AtomicBool) {
    while !over.load(Ordering::Acquire) {
        while lane.turn(Instant::now()) {}
        thread::yield_now();
    }
    while lane.turn(Instant::now()) || !lane.gathering.is_empty() {}
}

/// One round: viewers join, and some leave, while comments come and lanes write.
fn round(mut rig: Rig) {
    let lanes = std::mem::take(&mut rig.lanes);
    let over = AtomicBool::new(false);
    let viewers: Vec<Viewer> = thread::scope(|scope| {
        let lanes = lanes.into_iter().map(|lane| scope.spawn(|| run(lane, &over))).collect::<Vec<_>>();
        let poster = scope.spawn(|| {
            for seq in 1..=COMMENTS {
                rig.deliver(comments('a', seq..=seq));
                rig.hub.tell_viewers(&rig.id, seq);
            }
        });
        let viewers = (0..20)
            .filter_map(|n| {
                let viewer = rig.viewer();
                (n % 3 > 0).then_some(viewer)
            })
            .collect();
        poster.join().unwrap();
        over.store(true, Ordering::Release);
        lanes.into_iter().for_each(|lane| lane.join().unwrap());
        viewers
    });
    for viewer in &viewers {
        // A viewer's task comes when it is called, and only then.
        if viewer.is_woken() {
            let _ = viewer.drain();
        }
        let told = viewer.told();
        let all = (1..=COMMENTS).map(|seq| ('a', seq)).collect::<Vec<_>>();
        assert_eq!(places(&told), all, "{told:?}");
    }
}

#[test]
fn nobody_misses_anything_whatever_the_threads_do() {
    let began = std::time::Instant::now();
    for _ in 0..ROUNDS {
        round(Rig::new(2));
        round(Rig::hot(2));
        if began.elapsed() > Duration::from_secs(5) {
            break;
        }
    }
}
