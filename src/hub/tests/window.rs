//! A hot stream gathers its frames for a window; others never wait.

use std::time::Duration;

use tokio::time::{Instant, advance, timeout};

use super::{
    rig::{Rig, Viewer, WINDOW, comments, frame_bytes, live, sit},
    wire::{Told, places},
};
use crate::hub::{Drained, Fanout, tests::rig::at};

const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_hot_stream_is_flushed_at_once_after_quiet_and_then_once_a_window() {
    let mut rig = Rig::hot(2);
    let viewers: Vec<Viewer> = (0..10).map(|_| rig.viewer()).collect();
    rig.deliver_and_turn(comments('a', 1..=1));
    assert!(viewers.iter().all(|viewer| viewer.told() == live('a', 1..=1)), "the first one at once");
    for seq in 2..=9 {
        advance(MOMENT).await;
        rig.deliver_and_turn(comments('a', seq..=seq));
        assert!(viewers.iter().all(|viewer| viewer.told().len() == 1), "gathered");
    }
    advance(WINDOW - 8 * MOMENT).await;
    rig.turn();
    assert!(viewers.iter().all(|viewer| viewer.told() == live('a', 1..=9)));
    assert!(viewers.iter().all(|viewer| viewer.wire.writes() == 2 && !viewer.is_woken()));
    // The window counts from the last flush.
    advance(WINDOW).await;
    rig.deliver_and_turn(comments('a', 10..=10));
    assert!(viewers.iter().all(|viewer| viewer.told() == live('a', 1..=10)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_hot_never_waits() {
    let mut rig = Rig::small();
    let viewers = [rig.viewer(), rig.viewer()];
    for seq in 1..=100 {
        rig.deliver_and_turn(comments('a', seq..=seq));
        assert!(viewers.iter().all(|viewer| viewer.told().len() as u64 == seq));
        advance(MOMENT).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_stream_does_not_wait_for_a_hot_one() {
    let mut rig = Rig::with(Fanout { lanes: 1, window: WINDOW, hot_from: 100 });
    let small = "small".parse().unwrap();
    let (viewer, crowd) = (sit(&rig.hub, &small), (0..100).map(|_| rig.sit()).collect::<Vec<_>>());
    rig.hub.open(&small, at(('s', 0)), []);
    rig.hub.open(&rig.id, at(('a', 0)), []);
    viewer.join();
    crowd.iter().for_each(Viewer::join);
    for seq in 1..=20 {
        rig.deliver(comments('a', seq..=seq));
        rig.hub.deliver(&small, comments('s', seq..=seq));
        rig.turn();
        assert_eq!(viewer.told().len() as u64, seq);
        advance(MOMENT).await;
    }
    assert!(crowd.iter().all(|viewer| viewer.told().len() < 20), "the hot one waits");
}

#[tokio::test(start_paused = true)]
async fn what_is_gathered_is_one_slice_and_a_part_of_it_is_gone_on_with() {
    let mut rig = Rig::hot(1);
    let viewers: Vec<Viewer> = (0..10).map(|_| rig.viewer()).collect();
    rig.deliver_and_turn(comments('a', 1..=1));
    rig.deliver_and_turn(comments('a', 2..=41));
    let (full, own) = (&viewers[3], &viewers[7]);
    full.wire.take(frame_bytes(('a', 2)) + 11);
    own.push_own(1);
    advance(WINDOW).await;
    rig.turn();
    let mut all = live('a', 1..=41);
    assert!(viewers.iter().enumerate().all(|(n, viewer)| n == 3 || n == 7 || viewer.told() == all));
    assert_eq!(viewers[0].wire.slices(), 1);
    assert_eq!(full.told(), live('a', 1..=2));
    assert!(full.wire.is_amid_frame() && full.is_woken());
    full.wire.take_all();
    assert_eq!(full.drain(), Drained::All);
    assert_eq!(full.told(), all);
    // Who has a frame of its own gets that first, and the stream's behind it.
    all.insert(1, Told::Own(1));
    assert_eq!(own.told(), all);
    assert_eq!(rig.sli.counts().deliveries, 41 * 10);
}

#[tokio::test(start_paused = true)]
async fn more_than_one_flush_takes_does_not_wait_for_another_window() {
    let mut rig = Rig::hot(1);
    let viewers = [rig.viewer(), rig.viewer()];
    rig.deliver_and_turn(comments('a', 1..=1));
    rig.deliver(comments('a', 2..=500));
    advance(WINDOW).await;
    rig.turn();
    assert!(viewers.iter().all(|viewer| viewer.told() == live('a', 1..=500)));
}

#[tokio::test(start_paused = true)]
async fn viewers_who_come_and_go_within_a_window_disturb_nobody() {
    let mut rig = Rig::hot(1);
    let (stays, leaves) = (rig.viewer(), rig.viewer());
    rig.deliver_and_turn(comments('a', 1..=1));
    rig.deliver_and_turn(comments('a', 2..=2));
    let newcomer = rig.viewer();
    assert_eq!(places(&newcomer.told()), [('a', 1), ('a', 2)]);
    drop(leaves);
    rig.deliver_and_turn(comments('a', 3..=3));
    assert_eq!((stays.told().len(), newcomer.told().len()), (1, 2));
    advance(WINDOW).await;
    rig.turn();
    assert_eq!(stays.told(), live('a', 1..=3));
    assert_eq!(newcomer.told()[2..], live('a', 3..=3));
    assert!(!newcomer.is_woken() || newcomer.drain() == Drained::All);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_everybody_left_within_a_window_is_served_again() {
    let mut rig = Rig::hot(1);
    let leaves = rig.viewer();
    rig.deliver_and_turn(comments('a', 1..=1));
    rig.deliver_and_turn(comments('a', 2..=2));
    drop(leaves);
    rig.turn();
    let next = rig.viewer();
    rig.deliver_and_turn(comments('a', 3..=3));
    assert_eq!((rig.lanes[0].gathering.len(), rig.lanes[0].turns.len()), (1, 0));
    advance(WINDOW).await;
    rig.turn();
    assert_eq!(places(&next.told()), [('a', 1), ('a', 2), ('a', 3)]);
    drop(next);
    rig.turn();
    advance(WINDOW).await;
    rig.turn();
    assert_eq!((rig.lanes[0].gathering.len(), rig.lanes[0].turns.len()), (0, 0));
    let last = rig.viewer();
    rig.deliver_and_turn(comments('a', 4..=4));
    assert_eq!(places(&last.told()).last(), Some(&('a', 4)));
}

#[tokio::test(start_paused = true)]
async fn a_lane_wakes_by_itself_at_the_end_of_a_window() {
    let mut rig = Rig::hot(1);
    let lane = rig.lanes.remove(0);
    let viewers: Vec<Viewer> = (0..10).map(|_| rig.viewer()).collect();
    let viewer = &viewers[0];
    let watching = async {
        for seq in 1..=100 {
            rig.deliver(comments('a', seq..=seq));
            tokio::time::sleep(MOMENT).await;
        }
        let began = Instant::now();
        while viewer.told() != live('a', 1..=100) {
            tokio::time::sleep(MOMENT).await;
        }
        assert!(began.elapsed() <= WINDOW);
    };
    tokio::select! {
        () = lane.run() => panic!("a lane never ends"),
        told = timeout(Duration::from_secs(1), watching) => told.unwrap(),
    }
    assert!((3..=4).contains(&viewer.wire.writes()), "{}", viewer.wire.writes());
}
