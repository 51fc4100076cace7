//! Many streams watched and left.

use std::{cell::RefCell, time::Duration};

use fanfare::domain::StreamId;

use crate::rig::{Rig, at_a_rate, until};

const STREAMS: usize = 50_000;
const CHANGES_PER_SECOND: usize = 5_000;
const LINGER: Duration = Duration::from_secs(1);
/// What one redis-cli is asked about.
const BATCH: usize = 500;

/// A seat in each of 50,000 streams, one after the other, then each is left again. Every stream must open on this pod
/// (so it was granted and its history read), and Redis must agree about all of them at the top and at the end.
pub(crate) async fn measure() {
    let rig = Rig::start(1, LINGER).await;
    let streams: Vec<StreamId> = (0..STREAMS).map(|n| format!("stream-{n:05}").parse().unwrap()).collect();
    let seats = RefCell::new(Vec::with_capacity(STREAMS));

    let cpu = rig.cpu_seconds();
    at_a_rate(CHANGES_PER_SECOND, STREAMS, async |n| {
        let seat = rig.sit(&streams[n]);
        seats.borrow_mut().push(seat);
    })
    .await;
    let late = until("streams open", || seats.borrow().iter().all(|seat| seat.head().is_some())).await;
    tell("watched", &rig, cpu, late);
    assert_eq!(subscribed(&rig, &streams), STREAMS, "Redis and this pod disagree at the top");

    let cpu = rig.cpu_seconds();
    at_a_rate(CHANGES_PER_SECOND, STREAMS, async |_| drop(seats.borrow_mut().pop())).await;
    let late = until("streams are left", || rig.hub.totals().streams == 0).await;
    // The linger is drawn from this and a tenth more.
    tell("left", &rig, cpu, late.saturating_sub(LINGER.mul_f64(1.1)));
    assert_eq!(subscribed(&rig, &streams), 0, "Redis and this pod disagree at the end");
    println!("| streams that Redis and the pod disagree about | 0 | 0 |");
    rig.end().await;
}

fn tell(done: &str, rig: &Rig, (pod, shard): (f64, f64), late: Duration) {
    let (pod_now, shard_now) = rig.cpu_seconds();
    let us_each = |seconds: f64| seconds * 1e6 / STREAMS as f64;
    let (pod, shard) = (us_each(pod_now - pod), us_each(shard_now - shard));
    println!(
        "| {STREAMS} streams {done} at {CHANGES_PER_SECOND}/s: done after the last | {} ms | – |",
        late.as_millis()
    );
    println!("| a stream {done}, CPU of the pod and of Redis | {pod:.1} µs, {shard:.1} µs | – |");
}

/// How many of the streams have a subscriber, as Redis says.
fn subscribed(rig: &Rig, streams: &[StreamId]) -> usize {
    let mut subscribed = 0;
    for streams in streams.chunks(BATCH) {
        let names: Vec<_> = streams.iter().map(|stream| format!("ff:{{{stream}}}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let answer = rig.servers[0].cli(&[&["PUBSUB", "NUMSUB"], &names[..]].concat());
        subscribed += answer.lines().filter(|line| *line == "1").count();
    }
    subscribed
}
