//! Viewers whose writes cost much of their own, as behind TLS: the lane tells their tasks, and these write.

use std::time::Duration;

use tokio::time::advance;

use super::{
    rig::{Rig, TOO_OLD, comments, live},
    wire::Told,
};
use crate::hub::Drained;

fn measured(rig: &Rig) -> f64 {
    let text = rig.sli.prometheus();
    let counts = text.lines().filter(|line| line.starts_with("fanfare_delivery_duration_seconds_count"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[tokio::test(start_paused = true)]
async fn the_lane_tells_a_deferred_seat_and_its_task_writes_as_a_prompt_one() {
    let mut rig = Rig::private(1);
    let viewers = [rig.viewer(), rig.viewer(), rig.viewer()];
    assert!(viewers.iter().all(|viewer| !viewer.is_woken()));
    let writes = viewers[0].wire.writes();
    rig.deliver_and_turn(comments('a', 1..=2));
    rig.deliver_and_turn(comments('a', 3..=3));
    assert_eq!(viewers[0].wire.writes(), writes, "the lane itself writes nothing");
    for viewer in &viewers {
        assert!(viewer.is_woken() && !viewer.is_woken(), "told once, however much is due");
        assert_eq!(viewer.told(), []);
        assert_eq!(viewer.drain(), Drained::All);
        assert_eq!(viewer.told(), live('a', 1..=3));
    }
    assert_eq!(viewers[0].wire.writes(), writes + 1, "what waits goes out together");
    let text = rig.sli.prometheus();
    let prompt = text.lines().find(|line| {
        line.starts_with("fanfare_deliveries_total") && line.contains("prompt") && line.contains("within")
    });
    assert!(prompt.is_some_and(|line| line.ends_with(" 9")), "they count as prompt: {prompt:?}");
    assert!((2.5..3.5).contains(&measured(&rig)), "a value for each message and lane");
    rig.deliver_and_turn(comments('a', 4..=4));
    assert!(viewers[2].is_woken(), "and told again of what comes later");
}

#[tokio::test(start_paused = true)]
async fn encrypted_bytes_that_wait_make_a_deferred_seat_lag() {
    let mut rig = Rig::private(1);
    let viewer = rig.viewer();
    viewer.wire.take(10);
    rig.deliver_and_turn(comments('a', 1..=1));
    assert!(matches!(viewer.drain(), Drained::Full(_)), "all is encrypted, and not all is taken");
    rig.deliver_and_turn(comments('a', 2..=2));
    advance(Duration::from_secs(1)).await;
    assert!(matches!(viewer.drain(), Drained::Full(since) if since.elapsed() == Duration::from_secs(1)));
    viewer.wire.take_all();
    assert_eq!(viewer.drain(), Drained::All);
    assert_eq!(viewer.told(), live('a', 1..=2));
    viewer.is_woken();
    rig.deliver_and_turn(comments('a', 3..=3));
    assert!(viewer.is_woken(), "the lane tells it again");
    assert_eq!(viewer.drain(), Drained::All);
    assert_eq!(viewer.told(), live('a', 1..=3));
}

#[tokio::test(start_paused = true)]
async fn what_a_deferred_seats_task_came_late_for_is_not_the_viewers_fault() {
    let mut rig = Rig::private(1);
    let viewer = rig.viewer();
    for round in 0..5_u64 {
        rig.deliver_and_turn(comments('a', round * 100 + 1..=round * 100 + 100));
        advance(TOO_OLD).await;
        // What comes drops what is too old from the tape.
        rig.deliver_and_turn(comments('a', round * 100 + 101..=round * 100 + 100));
    }
    rig.deliver_and_turn(comments('a', 501..=501));
    assert_eq!(viewer.drain(), Drained::All, "it is told of holes, and not closed");
    assert!(viewer.told().iter().any(|told| matches!(told, Told::Skipped(..))));
    assert_eq!(viewer.told().last(), Some(&Told::Live(('a', 501))));
}
