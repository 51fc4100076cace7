//! A viewer whose socket is full: its task writes for it, and what falls off the tape is told.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, advance};

use super::{
    rig::{Rig, TOO_OLD, Viewer, at, comments, frame_bytes, gifts, live},
    wire::Told,
};
use crate::{
    hub::{Drained, Item, out::WRITE_FRAMES},
    protocol::{self, Close, SharedFrame},
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

/// Symptom: a viewer that read 16 KiB each second of 55 KB/s was closed with 3008 within a minute, though it read
/// steadily. Cause: the third fall within a minute was the end, and each fall led to the oldest frame of the tape, from
/// where the viewer fell again soon.
#[tokio::test(start_paused = true)]
async fn a_viewer_that_falls_again_and_again_is_told_each_time_and_stays() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    for round in 0..20 {
        fall(&mut rig, &viewer, round * 61 + 1).await;
        assert_eq!(viewer.drain(), Drained::All);
    }
    let skips = viewer.told().iter().filter(|told| matches!(told, Told::Skipped(11, _))).count();
    assert_eq!(skips, 20);
    assert_eq!(viewer.told().last(), Some(&Told::Live(('a', 20 * 61))));
}

/// Symptom: a viewer that was told `skipped` saw comments up to 15 s old from then on. Cause: it went on at the oldest
/// frame that the tape still had, not at the newest comments.
#[tokio::test(start_paused = true)]
async fn a_viewer_that_fell_goes_on_at_the_newest_comments_and_misses_no_gift() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    viewer.wire.take(0);
    rig.deliver_and_turn(comments('a', 1..=60));
    assert_eq!(viewer.drain(), Drained::Full(Instant::now()));
    advance(TOO_OLD).await;
    rig.deliver(comments('a', 61..=160));
    rig.deliver(gifts('a', 161..=162));
    rig.deliver_and_turn(comments('a', 163..=300));
    viewer.wire.take_all();
    assert_eq!(viewer.drain(), Drained::All);
    let mut expected = vec![Told::Skipped(160, ('a', 160))];
    expected.extend(live('a', 161..=162));
    expected.push(Told::Skipped(88, ('a', 250)));
    expected.extend(live('a', 251..=300));
    assert_eq!(viewer.told(), expected);
}

/// Symptom: the memory of a viewer whose socket was full grew with each fall. Cause: each `skipped` was queued behind
/// the last one.
#[tokio::test(start_paused = true)]
async fn a_full_socket_collects_one_skip() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    for round in 0..5 {
        viewer.wire.take(0);
        rig.deliver_and_turn(comments('a', round * 61 + 1..=round * 61 + 60));
        assert!(matches!(viewer.drain(), Drained::Full(_)));
        advance(TOO_OLD).await;
        rig.deliver_and_turn(comments('a', round * 61 + 61..=round * 61 + 61));
    }
    viewer.wire.take_all();
    assert_eq!(viewer.drain(), Drained::All);
    let told = viewer.told();
    let skips: Vec<_> = told.iter().filter(|told| matches!(told, Told::Skipped(..))).collect();
    assert!(skips.len() <= 2, "{skips:?}");
    let skipped: u64 =
        skips.iter().map(|told| if let Told::Skipped(count, _) = told { *count } else { 0 }).sum();
    assert_eq!(skipped + told.len() as u64 - skips.len() as u64, 5 * 61);
    assert_eq!(rig.sli.counts().skips, skipped);
}

/// A seat that is closed takes the close frame and nothing of the stream.
#[test]
fn a_viewer_that_was_stopped_can_still_be_told_the_reason() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    viewer.seat.stop();
    viewer.seat.push(&SharedFrame::close(Close::TooSlow));
    rig.deliver_and_turn(comments('a', 1..=1));
    assert_eq!(viewer.drain(), Drained::All);
    assert_eq!(viewer.told(), [Told::Close]);
}

/// Symptom: what a prompt viewer missed was told but not counted. Cause: only the viewer's task reported skips.
#[tokio::test(start_paused = true)]
async fn what_is_missed_because_the_lane_was_late_is_counted() {
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

/// Symptom: a proxy held 17 MiB for a viewer that had stalled. Cause: a proxy takes bytes that the viewer has not read,
/// and nothing limited them.
#[tokio::test(start_paused = true)]
async fn a_limited_viewer_is_written_no_more_than_its_limit_and_a_batch() {
    let mut rig = Rig::new(1);
    let (limited, prompt) = (rig.viewer(), rig.viewer());
    let frame = frame_bytes(('a', 1)) as u64;
    let ping = protocol::ping(1);
    let end = limited.seat.push_counted(&ping);
    assert_eq!(end, ping.bytes().len() as u64, "the bytes up to the end of the ping");
    assert_eq!(limited.drain(), Drained::All);
    limited.seat.limit(Some(end + 20 * frame));
    rig.deliver_and_turn(comments('a', 1..=200));
    assert_eq!(prompt.told(), live('a', 1..=200));
    assert!(limited.is_woken(), "its task writes");
    assert_eq!(limited.drain(), Drained::Held);
    let written = limited.told().len();
    assert!((20..=20 + WRITE_FRAMES).contains(&written), "{written}");
    // Its own frames, such as answers, go out all the same.
    limited.push_own(1);
    assert_eq!(limited.drain(), Drained::Held);
    assert_eq!(limited.told().last(), Some(&Told::Own(1)));

    limited.seat.limit(None);
    assert_eq!(limited.drain(), Drained::All);
    rig.deliver_and_turn(comments('a', 201..=201));
    let told: Vec<_> = limited.told().into_iter().filter(|told| *told != Told::Own(1)).collect();
    assert_eq!(told, live('a', 1..=201), "nothing was too old to be written");
}

/// Symptom: a slow viewer behind a proxy saw comments half a minute late and was never told `skipped`. Cause: only what
/// the tape no longer had was skipped.
#[tokio::test(start_paused = true)]
async fn a_limited_viewer_whose_next_frame_is_too_old_goes_on_at_the_newest_comments() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    viewer.seat.limit(Some(0));
    rig.deliver_and_turn(comments('a', 1..=60).chain(gifts('a', 61..=61)).chain(comments('a', 62..=70)));
    assert_eq!(viewer.drain(), Drained::Held);
    advance(Duration::from_secs(6)).await;
    rig.deliver_and_turn(comments('a', 71..=120));
    assert_eq!(viewer.drain(), Drained::Held);
    assert_eq!(viewer.told(), []);
    viewer.seat.limit(Some(1_000_000));
    assert_eq!(viewer.drain(), Drained::All);
    let mut expected = vec![Told::Skipped(60, ('a', 60))];
    expected.extend(live('a', 61..=61));
    expected.push(Told::Skipped(9, ('a', 70)));
    expected.extend(live('a', 71..=120));
    assert_eq!(viewer.told(), expected);
    assert_eq!(rig.sli.counts().skips, 69);

    rig.deliver_and_turn(comments('a', 121..=121));
    assert_eq!(
        viewer.told().len(),
        expected.len(),
        "the lane leaves it to the task as long as there is a limit"
    );
    assert!(viewer.is_woken());
    assert_eq!(viewer.drain(), Drained::All);
    assert_eq!(viewer.told().last(), Some(&Told::Live(('a', 121))));
}
