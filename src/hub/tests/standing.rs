//! Which streams stand out, and what is told of one.

use super::rig::{Rig, Viewer, at, comments, sit};
use crate::{
    domain::StreamId,
    hub::{Activity, Item, Survey},
    telemetry::Objectives,
};

/// A stream with one viewer who keeps up.
fn watched(rig: &mut Rig, name: &str) -> (StreamId, Viewer) {
    let id: StreamId = name.parse().unwrap();
    let viewer = sit(&rig.hub, &id);
    rig.hub.open(&id, at(('a', 0)), []);
    viewer.join();
    rig.turn();
    (id, viewer)
}

/// Ten of each, the most first, whatever the order in which they came; streams without any are not named.
#[tokio::test(start_paused = true)]
async fn the_ten_busiest_streams_are_named_in_order() {
    let mut rig = Rig::new(2);
    let mut watched: Vec<_> = (0..=12).map(|n| watched(&mut rig, &format!("s{n}"))).collect();
    for n in [7, 3, 12, 1, 9, 5, 11, 2, 8, 4, 10, 6] {
        rig.hub.deliver(&watched[n].0, comments('a', 1..=n as u64));
        rig.turn();
    }
    let Survey { lately, worst, busiest } = rig.hub.survey();
    assert_eq!((lately, worst.len()), (Activity { delivered: 78, late: 0, skipped: 0 }, 0));
    let named: Vec<_> = busiest.iter().map(|each| (each.stream.to_string(), each.lately.delivered)).collect();
    let expected: Vec<_> = (3..=12).rev().map(|n| (format!("s{n}"), n)).collect();
    assert_eq!(named, expected);
    watched.clear();
}

/// What is late is trouble, and trouble ranks: the stream with few deliveries, all late, is the worst.
#[tokio::test(start_paused = true)]
async fn the_stream_with_the_most_late_comments_is_the_worst() {
    let mut rig = Rig::new(1);
    let (busy, _a) = watched(&mut rig, "busy");
    let (late, _b) = watched(&mut rig, "late");
    rig.hub.deliver(&busy, comments('a', 1..=50));
    let aged = |mut item: Item| {
        item.came_at_age(Objectives::default().deliver * 2);
        item
    };
    rig.hub.deliver(&late, comments('a', 1..=3).map(aged));
    rig.turn();
    let survey = rig.hub.survey();
    let worst: Vec<_> = survey.worst.iter().map(|each| (each.stream.as_str(), each.lately)).collect();
    assert_eq!(worst, [("late", Activity { delivered: 3, late: 3, skipped: 0 })]);
    assert_eq!(survey.busiest[0].stream, busy);
}
