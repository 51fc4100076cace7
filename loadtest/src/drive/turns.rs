//! What a viewer is to do while others post, and when: fixed when the posting begins, whatever the server does.

use std::time::Duration;

use super::{
    context::Context,
    seats::{Role, Seat},
};
use crate::base::{clock::micros, rng::Rng};

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Drop the connection and resume, as a viewer in a tunnel does.
    Drop,
    /// Drop it with many others, and connect again at once.
    Storm,
    /// Go to this stream.
    Switch(u32),
}

/// Something to do at a time of the run's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) due_us: u64,
    pub(crate) what: What,
}

/// Whether a storm may hit this viewer.
pub(crate) fn in_a_storm(ctx: &Context, seat: Seat) -> bool {
    seat.role == Role::Watch && !ctx.plan.events.storms.is_empty()
}

/// A viewer's turns, latest first.
pub(crate) fn of(ctx: &Context, seat: Seat, start_us: u64, rng: &mut Rng) -> Vec<Turn> {
    let length_us = seconds_us(ctx.plan.seconds);
    let mut turns = match seat.role {
        Role::Resume { times } => drops(times, length_us, rng),
        Role::Churn { every_us } => switches(every_us, length_us, ctx.plan.watched, (seat.stream, rng)),
        Role::Watch => storms(ctx, seat),
        _ => Vec::new(),
    };
    turns.iter_mut().for_each(|turn| turn.due_us += start_us);
    turns.sort_by_key(|turn| std::cmp::Reverse(turn.due_us));
    turns
}

/// One at a random place of each slice of the time, none in the last eighth of it.
fn drops(times: u32, length_us: u64, rng: &mut Rng) -> Vec<Turn> {
    let slice_us = length_us / u64::from(times.max(1));
    let at = |slice| u64::from(slice) * slice_us + rng.below(slice_us / 8 * 7);
    (0..times).map(at).map(|due_us| Turn { due_us, what: What::Drop }).collect()
}

/// Each to another stream than before, if there is one.
fn switches(every_us: u64, length_us: u64, streams: u32, (stream, rng): (u32, &mut Rng)) -> Vec<Turn> {
    let mut stream = stream;
    let mut turns = Vec::new();
    let mut due_us = rng.below(every_us);
    while due_us < length_us {
        let step = 1 + rng.below(u64::from(streams.max(2) - 1));
        stream = u32::try_from((u64::from(stream) + step) % u64::from(streams.max(1))).unwrap_or(0);
        turns.push(Turn { due_us, what: What::Switch(stream) });
        due_us += every_us.max(1);
    }
    turns
}

/// The storms that hit this viewer: in each one another part of the viewers.
fn storms(ctx: &Context, seat: Seat) -> Vec<Turn> {
    let mut turns = Vec::new();
    for (number, storm) in (1u64..).zip(&ctx.plan.events.storms) {
        let draw = Rng::new(number << 32 | u64::from(seat.socket)).below(1 << 20);
        if f64::from(u32::try_from(draw).unwrap_or(0)) < storm.share * f64::from(1 << 20) {
            turns.push(Turn { due_us: seconds_us(storm.at), what: What::Storm });
        }
    }
    turns
}

fn seconds_us(seconds: f64) -> u64 {
    micros(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restless_viewer_never_stays_where_it_is() {
        let turns = switches(1_000_000, 10_000_000, 3, (1, &mut Rng::new(7)));
        assert_eq!(turns.len(), 10);
        let mut before = 1;
        for turn in turns {
            let What::Switch(stream) = turn.what else { panic!("{turn:?}") };
            assert!(stream != before && stream < 3);
            before = stream;
        }
        let alone = switches(1_000_000, 2_000_000, 1, (0, &mut Rng::new(7)));
        assert!(alone.iter().all(|turn| turn.what == What::Switch(0)) && alone.len() == 2);
    }

    #[test]
    fn drops_are_spread_over_the_time() {
        let turns = drops(4, 8_000_000, &mut Rng::new(3));
        for (slice, turn) in (0..).zip(&turns) {
            assert!((slice * 2_000_000..slice * 2_000_000 + 1_750_000).contains(&turn.due_us));
        }
        assert_eq!(turns.len(), 4);
    }
}
