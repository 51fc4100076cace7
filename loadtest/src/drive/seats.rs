//! Who sits where: every socket of a run with its stream, its target and what it does.

use super::{
    context::{Class, Share},
    plan::{Plan, Posting},
};

/// What a socket does besides listening.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Role {
    Watch,
    /// Posts as the `number`th of `of` posters of its stream.
    Post {
        number: u32,
        of: u32,
    },
    /// Drops its connection so often, spread over the posting.
    Resume {
        times: u32,
    },
    /// Joins so long after the posting began.
    Late {
        after_us: u64,
    },
    /// Goes to another stream each so many microseconds.
    Churn {
        every_us: u64,
    },
    /// Reads so many bytes a second.
    Slow {
        bytes_a_second: u32,
    },
}

impl Role {
    pub(crate) fn class(self) -> Class {
        match self {
            Self::Watch | Self::Post { .. } | Self::Resume { .. } => Class::Steady,
            Self::Late { .. } | Self::Churn { .. } => Class::Moving,
            Self::Slow { .. } => Class::Slow,
        }
    }
}

/// A socket to open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    /// Its number among all sockets of the run: chooses source address and tally.
    pub(crate) socket: u32,
    pub(crate) stream: u32,
    /// The target that it begins with.
    pub(crate) target: u32,
    pub(crate) role: Role,
}

impl Seat {
    /// Where it is counted.
    pub(crate) fn books(&self) -> (u32, Class) {
        (self.socket, self.role.class())
    }
}

/// The sockets of one process's share of a run.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds of a plan, as microseconds"
)]
pub(crate) fn seats(plan: &Plan, share: Share) -> Vec<Seat> {
    let audience = Audience::of(plan);
    let mut seats = Seats { plan, share, audience, all: Vec::new(), socket: 0 };
    seats.add(plan.viewers, |_| Role::Watch);
    seats.posters();
    seats.add(plan.resumers, |_| Role::Resume { times: plan.resume_times });
    if let Some(churn) = plan.events.churn {
        seats.add(churn.viewers, |_| Role::Churn { every_us: (churn.every * 1e6) as u64 });
    }
    if let Some(slow) = plan.events.slow {
        seats.add(slow.viewers, |_| Role::Slow { bytes_a_second: slow.bytes_a_second });
    }
    let arrivals = plan.events.arrivals_us(plan.seconds);
    let count = u32::try_from(arrivals.len()).unwrap_or(u32::MAX);
    seats.add(count, |number| Role::Late { after_us: arrivals[number as usize] });
    seats.all
}

struct Seats<'a> {
    plan: &'a Plan,
    share: Share,
    audience: Audience,
    all: Vec<Seat>,
    socket: u32,
}

impl Seats<'_> {
    fn add(&mut self, count: u32, role: impl Fn(u32) -> Role) {
        for number in 0..count {
            let role = role(number);
            // A crowd comes in the order of time: it is dealt out one by one, the others in blocks.
            let mine = match role {
                Role::Late { .. } => number % u32::from(self.share.of) == u32::from(self.share.index),
                _ => self.share.has(number, count),
            };
            let (stream, round) = self.audience.place(number, count);
            self.push(mine, Seat { socket: self.socket, stream, target: round.wrapping_add(stream), role });
        }
    }

    /// All posters of a stream are in one process, so that the order of their acks is seen whole.
    fn posters(&mut self) {
        let Posting::WebSocket { posters: of } = self.plan.posting else { return };
        for number in 0..of {
            for stream in 0..self.plan.streams {
                let mine = stream % u32::from(self.share.of) == u32::from(self.share.index);
                let (target, role) = (number.wrapping_add(stream), Role::Post { number, of });
                self.push(mine, Seat { socket: self.socket, stream, target, role });
            }
        }
    }

    fn push(&mut self, mine: bool, seat: Seat) {
        self.socket += 1;
        if mine {
            self.all.push(seat);
        }
    }
}

/// How viewers are spread over the watched streams.
enum Audience {
    Even(u32),
    /// The share of the viewers that is in this stream or one before it.
    Zipf(Vec<f64>),
}

impl Audience {
    fn of(plan: &Plan) -> Self {
        let exponent = plan.events.zipf.unwrap_or(0.0);
        if exponent <= 0.0 {
            return Self::Even(plan.watched);
        }
        let weights = (1..=plan.watched).map(|rank| f64::from(rank).powf(-exponent));
        let mut sums: Vec<f64> = weights
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        let all = sums.last().copied().unwrap_or(1.0);
        sums.iter_mut().for_each(|sum| *sum /= all);
        Self::Zipf(sums)
    }

    /// The stream of one of so many viewers, and a number that differs between neighbours in one stream.
    fn place(&self, number: u32, count: u32) -> (u32, u32) {
        match self {
            Self::Even(streams) => (number % streams, number / streams),
            Self::Zipf(sums) => {
                let at = (f64::from(number) + 0.5) / f64::from(count.max(1));
                let stream = sums.partition_point(|sum| *sum < at).min(sums.len().saturating_sub(1));
                (u32::try_from(stream).unwrap_or(0), number)
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers of tests are small")]
mod tests {
    use super::*;
    use crate::drive::{
        args::RunArgs,
        events::{Churn, Events, Raid, Slow},
    };

    fn plan(flags: &str, events: Events) -> Plan {
        let flags = format!("--url ws://a:1 --url ws://b:1 --url ws://c:1 {flags}");
        let mut args = RunArgs::of_flags(&flags).unwrap();
        args.events = events;
        args.plan().unwrap()
    }

    fn count(seats: &[Seat], is: impl Fn(&Seat) -> bool) -> usize {
        seats.iter().filter(|seat| is(seat)).count()
    }

    #[test]
    fn every_stream_is_watched_on_every_target() {
        for streams in [1, 2, 3, 4, 6] {
            let plan = plan(&format!("--viewers 180 --streams {streams} --posters 2"), Events::default());
            let seats = seats(&plan, Share { index: 0, of: 1 });
            assert_eq!(seats.len() as u32, 180 + 2 * streams);
            for (stream, target) in (0..streams).flat_map(|stream| (0..3).map(move |target| (stream, target)))
            {
                let here = count(&seats, |seat| {
                    seat.role == Role::Watch && seat.stream == stream && seat.target % 3 == target
                });
                assert_eq!(here as u32, 180 / 3 / streams);
            }
        }
    }

    #[test]
    fn the_shares_of_several_processes_are_the_whole() {
        let events = Events {
            raids: vec![Raid { at: 1.0, viewers: 17, over: 0.0 }],
            churn: Some(Churn { viewers: 5, every: 1.0 }),
            slow: Some(Slow { viewers: 4, bytes_a_second: 100 }),
            ..Events::default()
        };
        let plan = plan("--viewers 101 --streams 7 --posters 2 --resumers 3", events);
        let sockets = |index, of| seats(&plan, Share { index, of }).into_iter().map(|seat| seat.socket);
        let whole: Vec<u32> = sockets(0, 1).collect();
        assert_eq!(whole, (0..101 + 14 + 3 + 5 + 4 + 17).collect::<Vec<_>>());
        let mut parts: Vec<u32> = (0..4).flat_map(|index| sockets(index, 4)).collect();
        parts.sort_unstable();
        assert_eq!(parts, whole);
    }

    #[test]
    fn audiences_fall_by_rank() {
        let plan = plan("--viewers 1000 --streams 20", Events { zipf: Some(1.0), ..Events::default() });
        let seats = seats(&plan, Share { index: 0, of: 1 });
        let size = |stream| count(&seats, |seat| seat.role == Role::Watch && seat.stream == stream);
        // The 20th harmonic number is 3.598.
        assert_eq!((size(0), size(1), size(19)), (278, 139, 14));
        assert_eq!(count(&seats, |seat| seat.role == Role::Watch), 1000);
    }
}
