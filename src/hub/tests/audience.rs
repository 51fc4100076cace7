//! Who watches, and what is told of it to whoever subscribes.

use std::thread;

use super::rig::{Rig, comments, live, sit};
use crate::hub::Totals;

#[test]
fn only_the_first_and_the_last_viewer_nudge() {
    let rig = Rig::closed(2);
    let first = rig.sit();
    assert_eq!(rig.nudged.take(), ["live"]);
    let second = rig.sit();
    drop(first);
    assert_eq!(rig.nudged.take(), [""; 0]);
    assert!(rig.hub.is_watched(&rig.id));
    drop(second);
    assert_eq!(rig.nudged.take(), ["live"]);
    assert!(!rig.hub.is_watched(&rig.id));
    drop(rig.sit());
    assert_eq!(rig.nudged.take(), ["live", "live"]);
}

#[test]
fn viewers_are_counted_while_they_sit() {
    let rig = Rig::new(2);
    let other = "other".parse().unwrap();
    let viewers = [rig.viewer(), rig.sit(), sit(&rig.hub, &other)];
    assert_eq!((rig.hub.viewers(&rig.id), rig.hub.viewers(&other)), (2, 1));
    assert_eq!(viewers[0].seat.viewers(), 2);
    assert_eq!(rig.hub.totals(), Totals { viewers: 3, streams: 2 });
    drop(viewers);
    assert_eq!(rig.hub.totals(), Totals { viewers: 0, streams: 2 }, "unwatched streams linger");
}

#[test]
fn a_comment_that_nobody_watches_is_said_to_be() {
    let rig = Rig::new(1);
    assert!(!rig.hub.deliver(&"unknown".parse().unwrap(), comments('a', 1..=1)));
    assert!(!rig.hub.deliver(&rig.id, comments('a', 1..=1)), "a lingering stream's tape stays current");
    let viewer = rig.viewer();
    assert_eq!(viewer.told().len(), 1);
    assert!(rig.hub.deliver(&rig.id, comments('a', 2..=2)));
}

#[test]
fn a_watched_stream_is_not_retired() {
    let rig = Rig::new(1);
    rig.deliver(comments('a', 1..=3));
    let viewer = rig.sit();
    assert!(!rig.hub.retire(&rig.id));
    assert!(viewer.seat.opening().is_some());
    drop(viewer);
    assert!(rig.hub.retire(&rig.id));
    assert!(rig.hub.retire(&rig.id), "what is not there is retired");
    assert_eq!(rig.hub.totals().streams, 0);
    let newcomer = rig.sit();
    assert!(newcomer.seat.opening().is_none(), "the stream begins anew");
}

#[test]
fn whoever_leaves_is_let_go() {
    let mut rig = Rig::new(1);
    let (entered, joining) = (rig.viewer(), rig.sit());
    rig.deliver_and_turn(comments('a', 1..=1));
    let wires = [entered.wire.clone(), joining.wire.clone()];
    assert_eq!(entered.told(), live('a', 1..=1));
    drop((entered, joining));
    rig.turn();
    assert_eq!(wires.map(|wire| wire.holders()), [1, 1]);
}

/// A stream is retired between the look and the removal of another thread, or a viewer sits in one that is gone: either
/// way a viewer that sits would not be watched.
#[test]
fn a_stream_is_never_retired_under_a_viewer() {
    let rig = Rig::closed(1);
    thread::scope(|scope| {
        let joiner = scope.spawn(|| {
            for _ in 0..20_000 {
                let seat = rig.sit();
                assert!(rig.hub.is_watched(&rig.id));
                drop(seat);
            }
        });
        while !joiner.is_finished() {
            let _ = rig.hub.retire(&rig.id);
        }
    });
    assert!(rig.hub.retire(&rig.id));
    assert_eq!(rig.hub.totals(), Totals { viewers: 0, streams: 0 });
    assert_eq!(rig.nudged.take().len(), 40_000, "each was the first and the last");
}
