//! A prompt viewer gets what is new from its lane.

use bytes::Bytes;

use super::{
    rig::{Rig, comments, frame_bytes, live},
    wire::Told,
};
use crate::hub::{Drained, Item, tests::rig::at};

#[test]
fn a_prompt_viewer_gets_each_comment_at_once_from_its_lane() {
    let mut rig = Rig::new(2);
    let viewers = [rig.viewer(), rig.viewer(), rig.viewer()];
    for seq in 1..=3 {
        rig.deliver_and_turn(comments('a', seq..=seq));
        for viewer in &viewers {
            assert_eq!(viewer.told(), live('a', 1..=seq));
        }
    }
    assert!(viewers.iter().all(|viewer| !viewer.is_woken()));
    assert_eq!(rig.sli.counts().deliveries, 9);
}

#[test]
fn what_waits_goes_out_in_writes_of_up_to_sixteen_frames() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    rig.deliver_and_turn(comments('a', 1..=10));
    assert_eq!(viewer.wire.writes(), 1);
    rig.deliver_and_turn(comments('a', 11..=110));
    assert_eq!(viewer.wire.writes(), 1 + 4 + 3, "64 frames in four writes, 36 in three");
    assert_eq!(viewer.told(), live('a', 1..=110));
}

#[test]
fn own_frames_go_between_the_streams_frames() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    viewer.wire.take(frame_bytes(('a', 1)) + 5);
    rig.deliver_and_turn(comments('a', 1..=3));
    assert!(viewer.wire.is_amid_frame());
    viewer.push_own(7);
    viewer.push_own(8);
    viewer.wire.take_all();
    assert_eq!(viewer.drain(), Drained::All);
    let [one, two, three] = [1, 2, 3].map(|seq| Told::Live(('a', seq)));
    assert_eq!(viewer.told(), [one, two, Told::Own(7), Told::Own(8), three]);
}

#[test]
fn more_own_frames_than_one_write_takes_keep_their_order() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    (0..40).for_each(|n| viewer.push_own(n));
    rig.deliver(comments('a', 1..=2));
    rig.hub.tell_viewers(&rig.id, 9);
    rig.turn();
    let mut expected: Vec<_> = (0..40).map(Told::Own).collect();
    expected.extend([Told::Live(('a', 1)), Told::Live(('a', 2)), Told::Viewers(9)]);
    assert_eq!(viewer.told(), expected);
    assert!(viewer.seat.is_flushed());
}

#[test]
fn gaps_and_resets_are_told_in_their_order() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    let items = [Item::gap(1, at(('a', 4))), Item::reset(at(('b', 0)))];
    rig.deliver_and_turn(items.into_iter().chain(comments('b', 1..=1)));
    assert_eq!(viewer.told(), [Told::Gap(1, 4), Told::Reset(('b', 0)), Told::Live(('b', 1))]);
    assert_eq!(rig.sli.counts().deliveries, 1, "only comments are counted");
}

#[test]
fn of_the_numbers_of_viewers_only_the_newest_is_told() {
    let mut rig = Rig::new(1);
    let (prompt, slow) = (rig.viewer(), rig.viewer());
    slow.wire.take(0);
    for viewers in 1..=3 {
        rig.hub.tell_viewers(&rig.id, viewers);
        rig.turn();
    }
    assert_eq!(prompt.told(), [1, 2, 3].map(Told::Viewers));
    slow.wire.take_all();
    assert_eq!(slow.drain(), Drained::All);
    assert_eq!(slow.told(), [Told::Viewers(3)]);
    // A newcomer reads the number in its hello.
    let newcomer = rig.viewer();
    rig.deliver_and_turn(comments('a', 1..=1));
    assert_eq!(newcomer.told(), live('a', 1..=1));
}

/// Symptom: a viewer that caught up while the number changed never saw the change. Cause: becoming prompt asked the
/// tape for its end, but not for a newer notice, and the lane had passed the seat already.
#[test]
fn a_number_that_comes_while_a_viewer_catches_up_is_told() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    viewer.wire.take(0);
    rig.deliver_and_turn(comments('a', 1..=1));
    viewer.wire.take_all();
    let (hub, id) = (rig.hub.clone(), rig.id.clone());
    viewer.wire.meanwhile(move || hub.tell_viewers(&id, 5));
    assert_eq!(viewer.drain(), Drained::All);
    rig.turn();
    assert_eq!(viewer.told(), [Told::Live(('a', 1)), Told::Viewers(5)]);
}

/// Symptom: viewers saw the number jump back. Cause: a lane in the midst of a walk held an older notice than the one
/// that a seat had got from its task, and told it since it was another one.
#[test]
fn an_older_number_is_not_told_after_a_newer_one() {
    let mut rig = Rig::new(1);
    let (first, second) = (rig.viewer(), rig.viewer());
    second.wire.take(0);
    rig.deliver_and_turn(comments('a', 1..=1));
    let lane = &mut rig.lanes[0];
    rig.hub.tell_viewers(&rig.id, 1);
    lane.read_inbox(tokio::time::Instant::now());
    assert!(lane.write_slice(1, tokio::time::Instant::now()), "the walk stands before the second seat");
    rig.hub.tell_viewers(&rig.id, 2);
    second.wire.take_all();
    assert_eq!(second.drain(), Drained::All);
    rig.turn();
    assert_eq!(second.told(), [Told::Live(('a', 1)), Told::Viewers(2)]);
    assert_eq!(first.told(), [Told::Live(('a', 1)), Told::Viewers(1), Told::Viewers(2)]);
}

#[test]
fn a_broken_socket_shuts_its_seat_and_wakes_the_task() {
    let mut rig = Rig::new(1);
    let (broken, other) = (rig.viewer(), rig.viewer());
    broken.wire.cut();
    rig.deliver_and_turn(comments('a', 1..=2));
    assert!(broken.is_woken());
    assert_eq!(broken.drain(), Drained::Shut(None));
    assert_eq!(other.told(), live('a', 1..=2));
}

/// Symptom: a core at 100 % in one drain. Cause: an empty slice among the own frames; no write ever took it.
#[test]
fn nothing_pushed_is_nothing_due() {
    let rig = Rig::new(1);
    let viewer = rig.viewer();
    viewer.seat.push_bytes(Bytes::new());
    assert_eq!(viewer.drain(), Drained::All);
    assert!(viewer.seat.is_flushed());
}

#[test]
fn a_viewer_that_does_not_read_has_no_room_for_more_of_its_own() {
    let rig = Rig::new(1);
    let viewer = rig.viewer();
    viewer.wire.take(0);
    let mut pushed = 0;
    while viewer.seat.has_room() {
        viewer.seat.push_bytes(Bytes::from_static(&[b'x'; 1024]));
        pushed += 1;
    }
    assert_eq!(pushed, 40);
    viewer.wire.take_all();
    assert_eq!(viewer.drain(), Drained::All);
    assert!(viewer.seat.has_room());
}
