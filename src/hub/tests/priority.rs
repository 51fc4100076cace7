//! Gifts and the like are not skipped while the viewer can be served.

use std::time::Duration;

use tokio::time::advance;

use super::{
    rig::{Rig, TOO_OLD, comments, gifts, live},
    wire::Told,
};
use crate::{
    hub::{
        Drained,
        retained::{KEPT_ENTRIES, KEPT_FOR},
    },
    protocol::Close,
};

const SHUT: Drained = Drained::Shut(Some(Close::TooSlow));

/// Lets everything but the newest fifty leave the tape.
async fn age(rig: &Rig, next: u64) {
    advance(TOO_OLD).await;
    rig.deliver(comments('a', next..=next));
}

#[tokio::test(start_paused = true)]
async fn who_lags_misses_comments_and_no_gift_and_is_told_each_hole() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    viewer.wire.take(0);
    rig.deliver(gifts('a', 1..=1));
    rig.deliver(comments('a', 2..=20));
    rig.deliver(gifts('a', 21..=23));
    rig.deliver(comments('a', 24..=99));
    rig.turn();
    age(&rig, 100).await;
    viewer.wire.take_all();
    assert_eq!(viewer.drain(), Drained::All);
    let mut expected = live('a', 1..=1);
    expected.push(Told::Skipped(19, ('a', 20)));
    expected.extend(live('a', 21..=23));
    expected.push(Told::Skipped(27, ('a', 50)));
    expected.extend(live('a', 51..=100));
    assert_eq!(viewer.told(), expected);
    assert_eq!((rig.sli.counts().skips, rig.sli.counts().deliveries), (46, 54));
}

#[tokio::test(start_paused = true)]
async fn who_would_miss_a_gift_is_too_slow() {
    let mut rig = Rig::new(1);
    let (viewer, prompt) = (rig.viewer(), rig.viewer());
    viewer.wire.take(0);
    rig.deliver_and_turn(gifts('a', 1..=1));
    rig.deliver_and_turn(comments('a', 2..=60));
    advance(KEPT_FOR + Duration::from_secs(1)).await;
    rig.deliver_and_turn(comments('a', 61..=61));
    viewer.wire.take_all();
    assert_eq!(viewer.drain(), SHUT);
    assert_eq!(viewer.told(), []);
    assert_eq!(rig.sli.counts().skips, 0);
    assert_eq!(prompt.told(), live('a', 1..=61));
}

/// Also when it is the lane that was late: the viewer's task is called, and closes.
#[tokio::test(start_paused = true)]
async fn a_late_lane_leaves_no_gift_out_either() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    rig.deliver(gifts('a', 1..=1));
    rig.deliver(comments('a', 2..=60));
    advance(KEPT_FOR + Duration::from_secs(1)).await;
    rig.deliver_and_turn(comments('a', 61..=61));
    assert!(viewer.is_woken());
    assert_eq!(viewer.drain(), SHUT);
    assert_eq!(viewer.told(), []);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_bounded_by_number_and_bytes() {
    let most = KEPT_ENTRIES as u64;
    for (n, drained) in [(most, Drained::All), (most + 1, SHUT)] {
        let mut rig = Rig::new(1);
        let viewer = rig.viewer();
        viewer.wire.take(0);
        rig.deliver_and_turn(gifts('a', 1..=n));
        rig.deliver(comments('a', n + 1..=n + 50));
        age(&rig, n + 51).await;
        viewer.wire.take_all();
        assert_eq!(viewer.drain(), drained, "{n} gifts");
    }
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_amid_kept_gifts_is_still_told_exactly_what_it_missed() {
    let mut rig = Rig::new(1);
    let viewer = rig.viewer();
    viewer.wire.take(0);
    for round in 0..5 {
        rig.deliver(comments('a', round * 20 + 1..=round * 20 + 19));
        rig.deliver(gifts('a', round * 20 + 20..=round * 20 + 20));
    }
    rig.turn();
    age(&rig, 101).await;
    // It takes a skip and a part of the first gift; then the next gifts leave the tape, too.
    viewer.wire.take(120);
    assert!(matches!(viewer.drain(), Drained::Full(_)));
    rig.deliver(comments('a', 102..=170));
    age(&rig, 171).await;
    viewer.wire.take_all();
    assert_eq!(viewer.drain(), Drained::All);
    let mut expected = Vec::new();
    for gift in [20, 40, 60, 80, 100] {
        expected.extend([Told::Skipped(19, ('a', gift - 1)), Told::Live(('a', gift))]);
    }
    expected.push(Told::Skipped(21, ('a', 121)));
    expected.extend(live('a', 122..=171));
    assert_eq!(viewer.told(), expected);
}
