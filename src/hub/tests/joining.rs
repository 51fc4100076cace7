//! Joining: without a hole and without a duplicate.

use futures_util::FutureExt as _;
use tokio::time::advance;

use super::{
    rig::{Rig, TOO_OLD, at, comments, entry, live, past},
    wire::Told,
};
use crate::{
    hub::{Drained, Item, Located, RECENT_COMMENTS},
    protocol::HISTORY_PAGE_BYTES,
};

#[test]
fn opening_a_stream_wakes_those_who_wait_for_it() {
    let rig = Rig::closed(1);
    let viewer = rig.sit();
    let mut opened = Box::pin(viewer.seat.opened());
    assert!(opened.as_mut().now_or_never().is_none());
    assert!(viewer.seat.opening().is_none());
    assert!(viewer.seat.locate(&at(('a', 1))).is_none());
    rig.deliver(comments('a', 1..=1));

    rig.hub.open(&rig.id, at(('a', 7)), comments('a', 8..=9));
    assert!(opened.now_or_never().is_some());
    assert!(viewer.seat.opened().now_or_never().is_some());
    assert_eq!(viewer.seat.head(), Some(at(('a', 9))));

    rig.hub.open(&rig.id, at(('b', 0)), []);
    assert_eq!(viewer.seat.head(), Some(at(('a', 9))), "an open stream stays as it is");
}

#[test]
fn a_newcomer_is_shown_the_recent_comments_and_then_all_that_follow() {
    let mut rig = Rig::new(1);
    rig.deliver(comments('a', 1..=80));
    let viewer = rig.sit();
    let opening = viewer.seat.opening().unwrap();
    assert_eq!(opening.position, at(('a', 80 - RECENT_COMMENTS)));
    let end = viewer.read_history();
    rig.deliver_and_turn(comments('a', 81..=82));
    viewer.seat.enter(end);
    rig.deliver_and_turn(comments('a', 83..=83));
    assert_eq!(viewer.drain(), Drained::All);
    rig.deliver_and_turn(comments('a', 84..=84));
    let mut expected = past('a', 31..=80);
    expected.extend(live('a', 81..=84));
    assert_eq!(viewer.told(), expected);
    assert_eq!(rig.sli.counts().deliveries, 4, "history is not counted");
}

#[test]
fn newcomers_share_their_pages_until_they_are_outdated() {
    let rig = Rig::new(1);
    rig.deliver(comments('a', 1..=10));
    let viewer = rig.sit();
    let page = || viewer.seat.opening().unwrap().page.unwrap().bytes().clone();
    let (first, again) = (page(), page());
    assert_eq!(first.as_ptr(), again.as_ptr());
    rig.deliver(comments('a', 11..=18));
    assert_eq!(first.as_ptr(), page().as_ptr(), "eight behind is good enough: the tape has the rest");
    rig.deliver(comments('a', 19..=19));
    assert_ne!(first.as_ptr(), page().as_ptr());
    rig.deliver([Item::reset(at(('b', 0)))]);
    let opening = viewer.seat.opening().unwrap();
    assert_eq!((opening.position, opening.page), (at(('b', 0)), None), "nothing of an earlier history");
}

#[test]
fn recent_comments_are_those_of_the_present_history() {
    let rig = Rig::new(1);
    rig.deliver(comments('a', 1..=10));
    rig.deliver([Item::reset(at(('b', 4)))]);
    rig.deliver((5..=6).map(|seq| Item::history(&entry(('b', seq), "hi"))));
    let viewer = rig.viewer();
    assert_eq!(viewer.told(), past('b', 5..=6));
}

#[test]
fn a_page_is_never_over_its_limit() {
    let rig = Rig::new(1);
    let body = "x".repeat(2_000);
    rig.deliver((1..=60).map(|seq| Item::comment(&entry(('a', seq), &body))));
    let viewer = rig.sit();
    let opening = viewer.seat.opening().unwrap();
    let (second, _) = viewer.seat.history(opening.end).unwrap();
    assert!([opening.page.unwrap(), second].iter().all(|page| page.payload().len() <= HISTORY_PAGE_BYTES));
    viewer.join();
    assert_eq!(viewer.told(), past('a', 11..=60));
}

#[test]
fn gaps_and_resets_stand_between_pages() {
    let rig = Rig::new(1);
    let viewer = rig.sit();
    let opening = viewer.seat.opening().unwrap();
    rig.deliver(comments('a', 1..=2).chain([Item::gap(3, at(('a', 5)))]));
    rig.deliver(comments('a', 6..=6).chain([Item::reset(at(('b', 0)))]).chain(comments('b', 1..=2)));
    let mut mark = opening.end;
    let mut pages = 0;
    while let Some((page, after)) = viewer.seat.history(mark) {
        viewer.seat.push(&page);
        mark = after;
        pages += 1;
    }
    assert_eq!(pages, 5);
    viewer.seat.enter(mark);
    assert_eq!(viewer.drain(), Drained::All);
    let mut expected = past('a', 1..=2);
    expected.extend([Told::Gap(3, 5), Told::Past(('a', 6)), Told::Reset(('b', 0))]);
    expected.extend(past('b', 1..=2));
    assert_eq!(viewer.told(), expected);
}

/// Symptom: a slow joiner missed comments and was never told. Cause: the page after a place that had fallen off the tape
/// began with the oldest item, as if nothing stood between.
#[tokio::test(start_paused = true)]
async fn a_joiner_that_falls_off_the_tape_is_told_what_it_misses() {
    let rig = Rig::new(1);
    rig.deliver(comments('a', 1..=60));
    let viewer = rig.sit();
    let Some(Located::Here(mark)) = viewer.seat.locate(&at(('a', 3))) else { panic!("on the tape") };
    advance(TOO_OLD).await;
    rig.deliver(comments('a', 61..=61));
    assert!(viewer.seat.history(mark).is_none());
    viewer.seat.enter(mark);
    assert_eq!(viewer.drain(), Drained::All);
    assert_eq!(viewer.told()[..2], [Told::Skipped(8, ('a', 11)), Told::Live(('a', 12))]);
}
