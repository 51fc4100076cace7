//! Lanes: fair turns, walks that viewers leave and join in the middle, and no lost wake-up.

use tokio::time::Instant;

use super::{
    rig::{Rig, Viewer, comments, live, sit},
    wire::{Told, places},
};
use crate::hub::tests::rig::at;

/// More than a lane writes to in one turn.
const MANY: usize = 600;

fn one_turn(rig: &mut Rig) -> bool {
    rig.lanes[0].turn(Instant::now())
}

#[test]
fn viewers_who_leave_or_come_in_the_midst_of_a_walk_disturb_nobody() {
    let mut rig = Rig::new(1);
    let mut viewers: Vec<Viewer> = (0..MANY).map(|_| rig.viewer()).collect();
    rig.deliver(comments('a', 1..=1));
    assert!(one_turn(&mut rig), "the walk stands in the middle");
    let written = viewers.iter().filter(|viewer| !viewer.told().is_empty()).count();
    assert_eq!(written, 256);

    // From both sides of the walk, next to where it stands, and the last.
    for leaving in [599, 400, 257, 256, 255, 254, 100, 0] {
        drop(viewers.remove(leaving));
    }
    rig.deliver(comments('a', 2..=2));
    let newcomer = rig.viewer();
    rig.turn();
    rig.deliver_and_turn(comments('a', 3..=3));
    for (n, viewer) in viewers.iter().enumerate() {
        assert_eq!(viewer.told(), live('a', 1..=3), "viewer {n}");
    }
    assert_eq!(newcomer.told()[2..], live('a', 3..=3));
}

#[test]
fn a_walk_that_everybody_leaves_ends() {
    let mut rig = Rig::new(1);
    let viewers: Vec<Viewer> = (0..MANY).map(|_| rig.viewer()).collect();
    rig.deliver(comments('a', 1..=1));
    assert!(one_turn(&mut rig));
    drop(viewers);
    rig.turn();
    let newcomer = rig.viewer();
    rig.deliver_and_turn(comments('a', 2..=2));
    assert_eq!(places(&newcomer.told()), [('a', 1), ('a', 2)]);
}

#[test]
fn a_hot_stream_does_not_hold_up_a_small_one() {
    let mut rig = Rig::new(1);
    let _crowd: Vec<Viewer> = (0..MANY).map(|_| rig.viewer()).collect();
    let small = "small".parse().unwrap();
    let viewer = sit(&rig.hub, &small);
    rig.hub.open(&small, at(('s', 0)), []);
    viewer.join();
    rig.deliver(comments('a', 1..=1_000));
    assert!(one_turn(&mut rig));
    rig.hub.deliver(&small, comments('s', 1..=1));
    assert!(one_turn(&mut rig));
    assert!(one_turn(&mut rig), "the hot stream has by far not had everything");
    assert_eq!(viewer.told(), live('s', 1..=1));
}

/// Symptom: a stream went silent for every viewer of a lane, for ever. Cause: a wake-up that came in the midst of a walk
/// was dropped since the stream had its turn, the walk ended without looking again, and the flag that says "woken" kept
/// all later ones out.
#[test]
fn a_number_of_viewers_that_comes_in_the_midst_of_a_walk_does_not_silence_the_stream() {
    let mut rig = Rig::new(1);
    let viewers: Vec<Viewer> = (0..MANY).map(|_| rig.viewer()).collect();
    rig.deliver(comments('a', 1..=1));
    assert!(one_turn(&mut rig));
    rig.hub.tell_viewers(&rig.id, 5);
    rig.turn();
    rig.deliver_and_turn(comments('a', 2..=2));
    let mut orders = viewers.iter().map(Viewer::told);
    let expected = [Told::Live(('a', 1)), Told::Viewers(5), Told::Live(('a', 2))];
    assert!(orders.all(|told| told == expected));
}

/// Symptom: the first viewer after a quiet moment got nothing live. Cause: the last viewer had left while the stream
/// waited for its turn; the turn found no seats, and the flag that says "woken" stayed up for ever.
#[test]
fn a_stream_whose_last_viewer_left_before_its_turn_wakes_its_lane_again() {
    let mut rig = Rig::new(1);
    let small = "small".parse().unwrap();
    let crowd: Vec<Viewer> = (0..MANY).map(|_| rig.viewer()).collect();
    let last = sit(&rig.hub, &small);
    rig.hub.open(&small, at(('s', 0)), []);
    last.join();
    rig.deliver(comments('a', 1..=1));
    rig.hub.deliver(&small, comments('s', 1..=1));
    assert!(one_turn(&mut rig), "the small stream waits for its turn");
    drop(last);
    rig.turn();
    let next = sit(&rig.hub, &small);
    next.join();
    rig.hub.deliver(&small, comments('s', 2..=2));
    rig.turn();
    assert_eq!(places(&next.told()), [('s', 1), ('s', 2)]);
    assert_eq!(crowd.len(), MANY);
}

#[test]
fn a_stream_awaits_its_turn_once_however_often_its_viewers_come_and_go() {
    let mut rig = Rig::new(1);
    let small = "small".parse().unwrap();
    let _crowd: Vec<Viewer> = (0..MANY).map(|_| rig.viewer()).collect();
    let _keeper = sit(&rig.hub, &small);
    rig.hub.open(&small, at(('s', 0)), []);
    rig.deliver(comments('a', 1..=1));
    rig.lanes[0].read_inbox(Instant::now());
    for seq in 1..=10 {
        let viewer = sit(&rig.hub, &small);
        viewer.join();
        rig.hub.deliver(&small, comments('s', seq..=seq));
        rig.lanes[0].read_inbox(Instant::now());
        drop(viewer);
        rig.lanes[0].read_inbox(Instant::now());
    }
    assert_eq!(rig.lanes[0].turns.len(), 2);
    rig.turn();
    assert_eq!(rig.lanes[0].turns.len(), 0);
}

/// Symptom: a newcomer got a comment only when the next one came. Cause: it caught up and became prompt, then the comment
/// came, and the lane walked the others past it before it had read of the newcomer in its inbox.
#[test]
fn a_viewer_whom_the_lane_meets_late_misses_nothing() {
    let mut rig = Rig::new(1);
    let (first, second) = (rig.viewer(), rig.viewer());
    rig.deliver(comments('a', 1..=1));
    rig.lanes[0].read_inbox(Instant::now());
    let late = rig.viewer();
    rig.deliver(comments('a', 2..=2));
    assert!(!rig.lanes[0].write_slice(256, Instant::now()));
    assert_eq!(first.told(), live('a', 1..=2));
    assert_eq!(second.told(), live('a', 1..=2));
    rig.turn();
    assert!(late.is_woken(), "its task writes what the lane will not pass by with again");
    let _ = late.drain();
    assert_eq!(places(&late.told()), [('a', 1), ('a', 2)]);
}

/// Symptom: bursts reached some viewers minutes late. Cause: a seat behind its lane got sixteen frames a walk, and stayed
/// behind once the lane was at the end.
#[test]
fn a_viewer_whom_the_lane_meets_far_behind_catches_up_at_once() {
    let mut rig = Rig::new(1);
    let _first = rig.viewer();
    rig.deliver(comments('a', 1..=1));
    rig.lanes[0].read_inbox(Instant::now());
    let late = rig.viewer();
    rig.deliver(comments('a', 2..=200));
    while rig.lanes[0].write_slice(256, Instant::now()) {}
    rig.turn();
    let _ = late.drain();
    assert_eq!(late.told()[1..], live('a', 2..=200));
    rig.deliver_and_turn(comments('a', 201..=201));
    assert_eq!(late.told()[1..], live('a', 2..=201));
}

/// Symptom: the same with the number of viewers, until it changed again.
#[test]
fn a_viewer_whom_the_lane_meets_late_is_told_the_number_of_viewers() {
    let mut rig = Rig::new(1);
    let _first = rig.viewer();
    rig.deliver(comments('a', 1..=1));
    rig.lanes[0].read_inbox(Instant::now());
    let late = rig.viewer();
    rig.hub.tell_viewers(&rig.id, 5);
    assert!(!rig.lanes[0].write_slice(256, Instant::now()));
    rig.turn();
    assert!(late.is_woken());
    let _ = late.drain();
    assert_eq!(late.told().last(), Some(&Told::Viewers(5)));
}

#[tokio::test(start_paused = true)]
async fn a_lane_runs_whenever_there_is_something_to_write() {
    let mut rig = Rig::new(1);
    let lane = rig.lanes.remove(0);
    let viewer = rig.viewer();
    let watching = async {
        for seq in 1..=3 {
            rig.deliver(comments('a', seq..=seq));
            while viewer.told() != live('a', 1..=seq) {
                tokio::task::yield_now().await;
            }
        }
    };
    let deadline = std::time::Duration::from_secs(1);
    tokio::select! {
        () = lane.run() => panic!("a lane never ends"),
        told = tokio::time::timeout(deadline, watching) => told.unwrap(),
    }
}
