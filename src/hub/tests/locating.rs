//! Where a viewer's position lies, seen from the tape.

use tokio::time::advance;

use super::rig::{Rig, TOO_OLD, Viewer, at, comments};
use crate::{
    domain::Position,
    hub::{Item, Located},
};

/// How many items lie after a position, and what the answer was otherwise.
fn located(viewer: &Viewer, position: &Position) -> Result<u64, Located> {
    let head = viewer.seat.head().unwrap();
    let Some(Located::Here(end)) = viewer.seat.locate(&head) else { panic!("the head is on the tape") };
    match viewer.seat.locate(position).unwrap() {
        Located::Here(mark) => Ok(end.index - mark.index),
        elsewhere => Err(elsewhere),
    }
}

fn with_other_id(position: Position) -> Position {
    Position { id: at(('z', 1)).id, ..position }
}

#[test]
fn a_place_on_the_tape_is_found() {
    let rig = Rig::closed(1);
    let viewer = rig.sit();
    rig.hub.open(&rig.id, at(('a', 100)), comments('a', 101..=105));
    for (seq, after) in [(100, 5), (101, 4), (104, 1), (105, 0)] {
        assert_eq!(located(&viewer, &at(('a', seq))), Ok(after), "{seq}");
    }
    for (seq, why) in [(99, Located::Older), (0, Located::Older), (106, Located::Elsewhere)] {
        assert_eq!(located(&viewer, &at(('a', seq))), Err(why), "{seq}");
    }
    let last = Position { seq: (1 << 53) - 1, ..at(('a', 1)) };
    assert_eq!(located(&viewer, &last), Err(Located::Elsewhere));
    assert_eq!(located(&viewer, &at(('b', 103))), Err(Located::Elsewhere));
}

#[test]
fn a_number_that_was_used_twice_is_told_by_its_id() {
    let rig = Rig::closed(1);
    let viewer = rig.sit();
    rig.hub.open(&rig.id, at(('a', 100)), comments('a', 101..=105));
    for seq in [100, 101, 105] {
        assert_eq!(located(&viewer, &with_other_id(at(('a', seq)))), Err(Located::Elsewhere), "{seq}");
    }
}

#[test]
fn an_empty_stream_knows_its_beginning() {
    let rig = Rig::new(1);
    let viewer = rig.sit();
    assert_eq!(located(&viewer, &at(('a', 0))), Ok(0));
    assert_eq!(located(&viewer, &at(('a', 1))), Err(Located::Elsewhere));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_fell_off_the_tape_is_older() {
    let rig = Rig::new(1);
    let viewer = rig.sit();
    rig.deliver(comments('a', 1..=60));
    advance(TOO_OLD).await;
    rig.deliver(comments('a', 61..=61));
    assert_eq!(located(&viewer, &at(('a', 11))), Ok(50), "the place before the oldest");
    assert_eq!(located(&viewer, &at(('a', 10))), Err(Located::Older));
    assert_eq!(located(&viewer, &at(('a', 0))), Err(Located::Older));
}

/// Another pod may have got what this one could not: its viewers come with places within the gap.
#[test]
fn a_place_within_a_gap_is_before_the_gap() {
    let rig = Rig::new(1);
    let viewer = rig.sit();
    rig.deliver(comments('a', 1..=2).chain([Item::gap(3, at(('a', 6)))]).chain(comments('a', 7..=7)));
    for (seq, after) in [(2, 2), (3, 2), (5, 2), (6, 1), (7, 0)] {
        assert_eq!(located(&viewer, &at(('a', seq))), Ok(after), "{seq}");
    }
}

/// It may be one of those that a shard lost when another process took over: only the shard knows.
#[test]
fn a_place_within_a_gap_is_looked_up_where_timelines_differ() {
    let rig = Rig::new(1);
    let viewer = rig.sit();
    let timeline = Some(crate::domain::Timeline::random());
    rig.deliver(comments('a', 1..=2).chain([Item::gap(3, at(('a', 6)).on(timeline))]));
    assert_eq!(located(&viewer, &at(('a', 4)).on(timeline)), Ok(1));
    assert_eq!(located(&viewer, &at(('a', 4))), Err(Located::Older));
}

#[test]
fn only_the_present_history_is_searched() {
    let rig = Rig::new(1);
    let viewer = rig.sit();
    rig.deliver(comments('a', 1..=3).chain([Item::reset(at(('b', 7)))]));
    assert_eq!(located(&viewer, &at(('b', 7))), Ok(0));
    rig.deliver(comments('b', 8..=9));
    for (seq, after) in [(7, 2), (8, 1), (9, 0)] {
        assert_eq!(located(&viewer, &at(('b', seq))), Ok(after), "{seq}");
    }
    assert_eq!(located(&viewer, &at(('b', 6))), Err(Located::Older));
    assert_eq!(located(&viewer, &at(('a', 2))), Err(Located::Elsewhere));
    assert_eq!(located(&viewer, &with_other_id(at(('b', 7)))), Err(Located::Elsewhere));
}

/// A history that was rolled back keeps its epoch; the reset says where it goes on.
#[test]
fn a_reset_within_an_epoch_hides_what_was_before_it() {
    let rig = Rig::new(1);
    let viewer = rig.sit();
    rig.deliver(comments('a', 1..=9).chain([Item::reset(at(('a', 4)))]).chain(comments('a', 5..=6)));
    for (seq, after) in [(4, 2), (5, 1), (6, 0)] {
        assert_eq!(located(&viewer, &at(('a', seq))), Ok(after), "{seq}");
    }
    assert_eq!(located(&viewer, &at(('a', 8))), Err(Located::Elsewhere));
    assert_eq!(located(&viewer, &at(('a', 2))), Err(Located::Older));
}
