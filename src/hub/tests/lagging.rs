//! A viewer whose socket is full: its task writes for it, and what falls off the tape is told.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, advance};

use super::{
    rig::{Rig, TOO_OLD, Viewer, at, comments, frame_bytes, live},
    wire::Told,
};
use crate::{
    hub::{Drained, Item},
    protocol::{Close, SharedFrame},
};

#[tokio::test(start_paused = true)]
async fn a_full_socket_is_left_to_the_viewers_task_until_it_has_caught_up() {
    let mut rig = Rig::new(1);
    let (slow, prompt) = (rig.viewer(), rig.viewer());
    slow.wire.take(10);
    rig.deliver_and_turn(comments('a', 1..=40));
    assert!(slow.is_woken());
    assert!(slow.wire.is_amid_frame());
    assert_eq!(prompt.told(), live('a', 1..=40));

    slow.wire.take(1_000);
    rig.deliver_and_turn(comments('a', 41..=41));
    assert_eq!(slow.told(), [], "the lane leaves it alone");
    assert_eq!(slow.drain(), Drained::Full(Instant::now()));
    slow.wire.take_all();
    assert_eq!(slow.drain(), Drained::All);
    assert_eq!(slow.told(), live('a', 1..=41));

    rig.deliver_and_turn(comments('a', 42..=42));
    assert_eq!(slow.told(), live('a', 1..=42), "the lane writes to it again");
    assert_eq!(rig.sli.counts().deliveries, 84);
    assert_eq!(rig.sli.counts().skips, 0);
}

#[test]
fn a_socket_that_its_own_frames_filled_is_left_to_the_viewers_task() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    viewer.wire.take(3);
    viewer.push_own(1);
    assert!(matches!(viewer.drain(), Drained::Full(_)));
    viewer.wire.take_all();
    rig.deliver_and_turn(comments('a', 1..=1));
    assert_eq!(viewer.told(), [], "the lane does not try");
    assert_eq!(viewer.drain(), Drained::All);
    assert_eq!(viewer.told(), [Told::Own(1), Told::Live(('a', 1))]);
}

#[tokio::test(start_paused = true)]
async fn a_socket_is_full_since_it_last_took_a_byte() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    viewer.wire.take(10);
    let began = Instant::now();
    rig.deliver_and_turn(comments('a', 1..=2));
    advance(Duration::from_secs(3)).await;
    assert_eq!(viewer.drain(), Drained::Full(began));
    viewer.wire.take(1);
    assert_eq!(viewer.drain(), Drained::Full(Instant::now()));
}

/// Makes a viewer fall off the tape: it is full, and the tape moves on by 61 comments. The newest fifty stay.
async fn fall(rig: &mut Rig, viewer: &Viewer, next: u64) {
    viewer.wire.take(0);
    rig.deliver_and_turn(comments('a', next..=next + 59));
    assert_eq!(viewer.drain(), Drained::Full(Instant::now()));
    advance(TOO_OLD).await;
    rig.deliver_and_turn(comments('a', next + 60..=next + 60));
    viewer.wire.take_all();
}

#[tokio::test(start_paused = true)]
async fn what_falls_off_the_tape_is_told_with_its_number_and_place() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    fall(&mut rig, &viewer, 1).await;
    assert_eq!(viewer.drain(), Drained::All);
    let mut expected = vec![Told::Skipped(11, ('a', 11))];
    expected.extend(live('a', 12..=61));
    assert_eq!(viewer.told(), expected);
    assert_eq!(rig.sli.counts().skips, 11);
    assert_eq!(rig.sli.counts().deliveries, 50);
}

#[tokio::test(start_paused = true)]
async fn a_half_written_frame_that_fell_off_the_tape_is_completed_before_the_skip() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    viewer.wire.take(frame_bytes(('a', 1)) + 9);
    rig.deliver_and_turn(comments('a', 1..=60));
    viewer.push_own(5);
    advance(TOO_OLD).await;
    rig.deliver_and_turn(comments('a', 61..=61));
    viewer.wire.take_all();
    assert_eq!(viewer.drain(), Drained::All);
    let mut expected = live('a', 1..=2);
    expected.extend([Told::Own(5), Told::Skipped(9, ('a', 11))]);
    expected.extend(live('a', 12..=61));
    assert_eq!(viewer.told(), expected);
}

#[tokio::test(start_paused = true)]
async fn entries_that_nobody_could_recover_are_among_those_skipped() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    viewer.wire.take(0);
    rig.deliver_and_turn(comments('a', 1..=2).chain([Item::gap(3, at(('a', 9)))]));
    rig.deliver_and_turn(comments('a', 10..=60));
    advance(TOO_OLD).await;
    rig.deliver_and_turn(comments('a', 61..=61));
    viewer.wire.take_all();
    assert_eq!(viewer.drain(), Drained::All);
    assert_eq!(viewer.told()[..2], [Told::Skipped(11, ('a', 11)), Told::Live(('a', 12))]);
}

/// Symptom: a viewer got a position of the new history before it knew of the reset. Cause: `skipped` carries the place
/// where the viewer goes on, and was told first.
#[tokio::test(start_paused = true)]
async fn a_viewer_that_fell_past_a_reset_is_told_of_it_before_anything_of_the_new_history() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    viewer.wire.take(0);
    rig.deliver_and_turn(comments('a', 1..=3).chain([Item::reset(at(('b', 0)))]));
    rig.deliver_and_turn(comments('b', 1..=60));
    advance(TOO_OLD).await;
    rig.deliver_and_turn(comments('b', 61..=61));
    viewer.wire.take_all();
    assert_eq!(viewer.drain(), Drained::All);
    let mut expected = vec![Told::Reset(('b', 11)), Told::Skipped(14, ('b', 11))];
    expected.extend(live('b', 12..=61));
    assert_eq!(viewer.told(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_falls_three_times_within_a_minute_is_too_slow() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    for next in [1, 62] {
        fall(&mut rig, &viewer, next).await;
        assert_eq!(viewer.drain(), Drained::All);
    }
    fall(&mut rig, &viewer, 123).await;
    assert_eq!(viewer.drain(), Drained::Shut(Some(Close::TooSlow)));
    assert_eq!(viewer.drain(), Drained::Shut(Some(Close::TooSlow)));

    viewer.seat.stop();
    viewer.seat.push(&SharedFrame::close(Close::TooSlow));
    assert_eq!(viewer.drain(), Drained::All);
    assert_eq!(viewer.told().last(), Some(&Told::Close), "the reason can still be told");
}

/// Symptom: a viewer that fell at 0, 50, 66 and 82 s was not closed. Cause: falls were counted from the first one on,
/// and anew after a minute, so that three close together could stand on both sides of the border.
#[tokio::test(start_paused = true)]
async fn any_minute_with_three_falls_counts() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    let mut fell = Vec::new();
    for (wait, next) in [(0, 1), (34, 62), (0, 123), (0, 184)] {
        advance(Duration::from_secs(wait)).await;
        fall(&mut rig, &viewer, next).await;
        fell.push(viewer.drain());
    }
    let shut = Drained::Shut(Some(Close::TooSlow));
    assert_eq!(fell, [Drained::All, Drained::All, Drained::All, shut]);
}

/// Symptom: what a prompt viewer missed was told but not counted, and a late lane closed its whole audience as too slow.
/// Cause: only the viewer's task reported skips, and a fall was the viewer's fault whoever was slow.
#[tokio::test(start_paused = true)]
async fn what_is_missed_because_the_lane_was_late_is_counted_and_not_the_viewers_fault() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    for round in 0..4 {
        rig.deliver(comments('a', round * 61 + 1..=round * 61 + 60));
        advance(TOO_OLD).await;
        rig.deliver_and_turn(comments('a', round * 61 + 61..=round * 61 + 61));
        assert_eq!(rig.sli.counts().skips, 11 * (round + 1));
    }
    assert_eq!(viewer.told().len(), 4 * 51);
    assert_eq!(viewer.told()[51..53], [Told::Skipped(11, ('a', 72)), Told::Live(('a', 73))]);
    assert_eq!(viewer.drain(), Drained::All);
}

/// Symptom: 32 KiB a viewer that nothing explained. Cause: the rest of a frame, once written, was an empty slice that
/// still owned the page which it had been a part of.
#[test]
fn a_frame_that_is_written_in_the_end_is_let_go() {
    let rig = Rig::new(1);
    let viewer = rig.viewer();
    let page = Arc::new([b'x'; 1024]);
    #[derive(Clone)]
    struct Owner(Arc<[u8; 1024]>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0[..]
        }
    }
    viewer.wire.take(100);
    viewer.seat.push_bytes(Bytes::from_owner(Owner(Arc::clone(&page))));
    assert!(matches!(viewer.drain(), Drained::Full(_)));
    assert_eq!(Arc::strong_count(&page), 2);
    viewer.wire.take_all();
    assert_eq!(viewer.drain(), Drained::All);
    assert_eq!(Arc::strong_count(&page), 1);
}

#[test]
fn after_a_stop_only_the_frame_begun_and_later_own_frames_go_out() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    viewer.wire.take(5);
    rig.deliver_and_turn(comments('a', 1..=3));
    viewer.push_own(1);
    viewer.seat.stop();
    viewer.seat.push(&SharedFrame::close(Close::Restart));
    viewer.wire.take_all();
    assert_eq!(viewer.drain(), Drained::All);
    rig.deliver_and_turn(comments('a', 4..=4));
    assert_eq!(viewer.drain(), Drained::All);
    assert_eq!(viewer.told(), [Told::Live(('a', 1)), Told::Close]);
}

/// Symptom: comments after the close frame, and a seat that its lane held twice. Cause: joining and closing were one
/// phase, so that a join could end after the stop.
#[test]
fn a_joiner_that_was_stopped_does_not_enter() {
    let mut rig = Rig::new(1);
    let viewer = rig.sit();
    let opening = viewer.seat.opening().unwrap();
    viewer.seat.stop();
    viewer.seat.enter(opening.end);
    rig.deliver_and_turn(comments('a', 1..=1));
    assert_eq!(viewer.drain(), Drained::All);
    assert_eq!(viewer.told(), []);
}
