//! The budget of a delivery: no allocation, and no more writes than there are moments to write at.

use std::{
    io::{self, IoSlice},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::time::{Instant, advance};

use super::rig::{Rig, WINDOW, comments};
use crate::hub::{Drained, Outlet, Seat};

const SEATS: usize = 1_000;
const FRAMES: u64 = 10;

/// Takes everything, and counts how often.
#[derive(Default)]
struct Sink {
    writes: AtomicUsize,
}

impl Outlet for Sink {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

fn crowd(rig: &Rig, sink: &Arc<Sink>) -> Vec<Seat> {
    let seat = || {
        let seat = rig.hub.sit(&rig.id, sink.clone());
        seat.enter(seat.opening().unwrap().end);
        assert_eq!(seat.drain(Instant::now()), Drained::All);
        seat
    };
    std::iter::repeat_with(seat).take(SEATS).collect()
}

/// Lets the lanes write, and returns the allocations and writes that it took.
fn measured(rig: &mut Rig, sink: &Sink) -> (u64, usize) {
    let before = sink.writes.load(Ordering::Relaxed);
    let allocations = allocation_counter::measure(|| rig.turn());
    (allocations.count_total, sink.writes.load(Ordering::Relaxed) - before)
}

#[test]
fn frames_that_wait_together_cost_a_viewer_one_write_and_no_allocation() {
    let mut rig = Rig::new(1);
    let sink = Arc::new(Sink::default());
    let _seats = crowd(&rig, &sink);
    rig.deliver_and_turn(comments('a', 1..=FRAMES));
    rig.deliver(comments('a', FRAMES + 1..=2 * FRAMES));
    assert_eq!(measured(&mut rig, &sink), (0, SEATS));
    assert_eq!(rig.sli.counts().deliveries, 2 * FRAMES * SEATS as u64);
}

#[test]
fn frames_that_come_one_by_one_cost_a_viewer_one_write_each_and_no_allocation() {
    let mut rig = Rig::new(1);
    let sink = Arc::new(Sink::default());
    let _seats = crowd(&rig, &sink);
    rig.deliver_and_turn(comments('a', 1..=1));
    for seq in 2..2 + FRAMES {
        rig.deliver(comments('a', seq..=seq));
        assert_eq!(measured(&mut rig, &sink), (0, SEATS));
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_of_a_hot_stream_costs_a_viewer_one_write_and_no_allocation() {
    let mut rig = Rig::hot(1);
    let sink = Arc::new(Sink::default());
    let _seats = crowd(&rig, &sink);
    for window in 0..4 {
        for seq in 1..=FRAMES {
            rig.deliver(comments('a', window * FRAMES + seq..=window * FRAMES + seq));
            let (allocations, writes) = measured(&mut rig, &sink);
            if window > 1 {
                // The lane's own lists have grown to their size.
                assert_eq!((allocations, writes), (0, 0));
            }
        }
        advance(WINDOW).await;
        let (allocations, writes) = measured(&mut rig, &sink);
        assert_eq!(writes, SEATS);
        assert!(window < 2 || allocations == 0, "{allocations}");
    }
    assert_eq!(rig.sli.counts().deliveries, 4 * FRAMES * SEATS as u64);
}

/// The counts above mean something only if this binary's allocator counts.
#[test]
fn the_counting_allocator_is_at_work() {
    let allocations = allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8; 64])));
    assert_eq!(allocations.count_total, 1);
}
