//! Which streams this pod should hear of, and the next step towards that.
//!
//! Level-triggered: what is wanted and what is granted are two sets, and [`Interest::next_step`] looks at nothing else.
//! First viewer, last viewer, a new connection and a failed command are changes of the sets, not cases of their own.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

use super::inspector::Subscription;
use crate::{
    domain::{PlantedFault, StreamId},
    shards::backend::types::ConnectionId,
};

/// The most streams in one command.
const BATCH: usize = 500;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shards) enum Step {
    /// Subscribe to these.
    Subscribe(Vec<StreamId>),
    /// End the subscriptions to these, whose last viewer left long enough ago.
    Unsubscribe(Vec<StreamId>),
}

/// The streams of one shard that this pod wants, and those that it is subscribed to.
#[derive(Debug)]
pub(in crate::shards) struct Interest {
    linger: Duration,
    connection: Option<ConnectionId>,
    wanted: HashSet<StreamId>,
    granted: HashSet<StreamId>,
    /// Wanted and not granted: what the next step asks for.
    missing: BTreeSet<StreamId>,
    /// Not wanted any more, and when that will have been long enough.
    lingering: HashMap<StreamId, Instant>,
    /// The same by time.
    ends: BTreeSet<(Instant, StreamId)>,
    /// Whether a step is under way.
    busy: bool,
    linger_hits: u64,
}

impl Interest {
    pub(in crate::shards) fn new(linger: Duration) -> Self {
        Self {
            linger,
            connection: None,
            wanted: HashSet::new(),
            granted: HashSet::new(),
            missing: BTreeSet::new(),
            lingering: HashMap::new(),
            ends: BTreeSet::new(),
            busy: false,
            linger_hits: 0,
        }
    }

    /// Takes note of whether a stream is watched now. `jitter` (0 to 1) spreads what would end together. Returns
    /// whether the stream is wanted or lingers.
    pub(in crate::shards) fn look(
        &mut self,
        stream: &StreamId,
        watched: bool,
        now: Instant,
        jitter: f64,
    ) -> bool {
        if watched {
            if self.wanted.insert(stream.clone()) {
                self.linger_hits += u64::from(self.end_linger(stream));
                if !self.granted.contains(stream) {
                    self.missing.insert(stream.clone());
                }
            }
        } else if self.wanted.remove(stream) {
            self.missing.remove(stream);
            let end = now + self.linger.mul_f64(1.0 + jitter / 10.0);
            self.lingering.insert(stream.clone(), end);
            self.ends.insert((end, stream.clone()));
        }
        watched || self.lingering.contains_key(stream)
    }

    fn end_linger(&mut self, stream: &StreamId) -> bool {
        let end = self.lingering.remove(stream);
        end.is_some_and(|end| self.ends.remove(&(end, stream.clone())))
    }

    /// How it stands with a stream, and until when it lingers.
    pub(in crate::shards) fn subscription(&self, stream: &StreamId) -> (Subscription, Option<Instant>) {
        let lingers_until = self.lingering.get(stream).copied();
        let subscription = match (self.wanted.contains(stream), self.granted.contains(stream)) {
            (true, true) => Subscription::Granted,
            (true, false) => Subscription::Wanted,
            (false, true) => Subscription::Lingering,
            (false, false) => Subscription::None,
        };
        (subscription, lingers_until)
    }

    /// Takes note of a new connection: it holds no subscription.
    pub(in crate::shards) fn connected(&mut self, connection: ConnectionId) {
        self.disconnected();
        self.connection = Some(connection);
    }

    /// Takes note that the connection is gone, and its subscriptions with it.
    pub(in crate::shards) fn disconnected(&mut self) {
        self.connection = None;
        if PlantedFault::InterestKeepsGrants.is_planted() {
            return;
        }
        self.granted.clear();
        self.missing = self.wanted.iter().cloned().collect();
    }

    /// The next step, if one is due; it counts as under way until [`Self::subscribed`], [`Self::unsubscribed`] or
    /// [`Self::failed`] is called.
    pub(in crate::shards) fn next_step(&mut self, now: Instant) -> Option<Step> {
        if self.busy || self.connection.is_none() {
            return None;
        }
        let missing: Vec<_> = self.missing.iter().take(BATCH).cloned().collect();
        let step = if missing.is_empty() {
            let over = self.ends.iter().take_while(|(end, _)| *end <= now).take(BATCH);
            let over: Vec<_> = over.map(|(_, stream)| stream.clone()).collect();
            (!over.is_empty()).then_some(Step::Unsubscribe(over))
        } else {
            Some(Step::Subscribe(missing))
        };
        self.busy = step.is_some();
        step
    }

    /// Takes note of subscriptions in force on a connection; those on one that is gone mean nothing. Returns those that
    /// count.
    pub(in crate::shards) fn subscribed(
        &mut self,
        streams: Vec<StreamId>,
        connection: ConnectionId,
    ) -> Vec<StreamId> {
        self.busy = false;
        if self.connection != Some(connection) && !PlantedFault::InterestTrustsOldGrant.is_planted() {
            return Vec::new();
        }
        for stream in &streams {
            self.missing.remove(stream);
            self.granted.insert(stream.clone());
        }
        streams
    }

    /// Takes note of subscriptions that ended. Returns those that nobody wants still, whose linger is over with it.
    pub(in crate::shards) fn unsubscribed(&mut self, streams: Vec<StreamId>) -> Vec<StreamId> {
        self.busy = false;
        let mut over = Vec::new();
        for stream in streams {
            self.granted.remove(&stream);
            if self.wanted.contains(&stream) && PlantedFault::InterestForgetsReturn.is_planted() {
                self.granted.insert(stream);
            } else if self.wanted.contains(&stream) {
                self.missing.insert(stream);
            } else {
                self.end_linger(&stream);
                over.push(stream);
            }
        }
        over
    }

    /// Takes note that the step under way was not answered: it may have run.
    pub(in crate::shards) fn failed(&mut self, step: Step) {
        self.busy = false;
        let Step::Unsubscribe(streams) = step else { return };
        if PlantedFault::InterestTrustsFailedUnsubscribe.is_planted() {
            return;
        }
        for stream in streams {
            self.granted.remove(&stream);
            if self.wanted.contains(&stream) {
                self.missing.insert(stream);
            }
        }
    }

    /// The streams whose messages come, at this moment.
    pub(in crate::shards) fn granted(&self) -> impl Iterator<Item = &StreamId> {
        self.granted.iter()
    }

    /// The streams that are watched on this pod.
    pub(in crate::shards) fn wanted(&self) -> impl Iterator<Item = &StreamId> {
        self.wanted.iter()
    }

    pub(in crate::shards) fn subscriptions(&self) -> usize {
        self.granted.len()
    }

    /// How often a viewer came back before the linger was over.
    pub(in crate::shards) const fn linger_hits(&self) -> u64 {
        self.linger_hits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINGER: Duration = Duration::from_secs(10);

    #[derive(Debug, Clone, Copy)]
    enum Op {
        Look(u8, bool),
        Connect,
        Wait(u64),
        /// Whether the step runs, and whether its answer comes.
        Step {
            runs: bool,
            is_answered: bool,
        },
        Answer,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0..6_u8, any::<bool>()).prop_map(|(stream, watched)| Op::Look(stream, watched)),
            Just(Op::Connect),
            (0..8_000_u64).prop_map(Op::Wait),
            any::<(bool, bool)>().prop_map(|(runs, is_answered)| Op::Step { runs, is_answered }),
            Just(Op::Answer),
        ]
    }

    /// A Redis: what it holds for the connection, and the command that it did not answer yet.
    struct World {
        interest: Interest,
        now: Instant,
        connection: u64,
        subscribed: HashSet<StreamId>,
        under_way: Option<(Step, bool, ConnectionId)>,
        watched: HashSet<StreamId>,
    }

    impl World {
        fn apply(&mut self, op: Op) {
            match op {
                Op::Look(stream, watched) => {
                    let stream: StreamId = format!("s{stream}").parse().unwrap();
                    if watched {
                        self.watched.insert(stream.clone())
                    } else {
                        self.watched.remove(&stream)
                    };
                    self.interest.look(&stream, watched, self.now, 0.0);
                }
                Op::Connect => {
                    self.connection += 1;
                    self.subscribed.clear();
                    self.interest.connected(ConnectionId(self.connection));
                }
                Op::Wait(ms) => self.now += Duration::from_millis(ms),
                Op::Step { runs, is_answered } => {
                    if let Some(step) = self.interest.next_step(self.now) {
                        assert!(self.under_way.is_none(), "one step at a time");
                        match (&step, runs) {
                            (Step::Subscribe(streams), true) => {
                                self.subscribed.extend(streams.iter().cloned());
                            }
                            (Step::Unsubscribe(streams), true) => {
                                assert!(streams.iter().all(|stream| !self.watched.contains(stream)));
                                self.subscribed.retain(|stream| !streams.contains(stream));
                            }
                            _ => {}
                        }
                        self.under_way = Some((step, runs && is_answered, ConnectionId(self.connection)));
                    }
                }
                Op::Answer => match self.under_way.take() {
                    Some((Step::Subscribe(streams), true, on)) => drop(self.interest.subscribed(streams, on)),
                    Some((Step::Unsubscribe(streams), true, _)) => drop(self.interest.unsubscribed(streams)),
                    Some((step, false, _)) => self.interest.failed(step),
                    None => {}
                },
            }
        }
    }

    proptest! {
        /// Whatever happened, once everything works again exactly the watched streams are subscribed to.
        #[test]
        fn interest_converges(ops in prop::collection::vec(op(), 0..60)) {
            let mut world = World {
                interest: Interest::new(LINGER),
                now: Instant::now(),
                connection: 0,
                subscribed: HashSet::new(),
                under_way: None,
                watched: HashSet::new(),
            };
            world.apply(Op::Connect);
            for op in ops {
                world.apply(op);
            }
            for _ in 0..20 {
                world.apply(Op::Answer);
                world.apply(Op::Wait(11_000));
                world.apply(Op::Step { runs: true, is_answered: true });
            }
            prop_assert_eq!(&world.subscribed, &world.watched);
            prop_assert!(world.interest.lingering.is_empty() && world.interest.ends.is_empty());
        }
    }

    #[test]
    fn a_viewer_who_comes_back_in_time_costs_no_command() {
        let (stream, now) = ("s".parse().unwrap(), Instant::now());
        let mut interest = Interest::new(LINGER);
        interest.connected(ConnectionId(1));
        interest.look(&stream, true, now, 0.0);
        assert_eq!(interest.next_step(now), Some(Step::Subscribe(vec![stream.clone()])));
        interest.subscribed(vec![stream.clone()], ConnectionId(1));
        interest.look(&stream, false, now, 0.0);
        assert_eq!(interest.next_step(now + LINGER / 2), None);
        interest.look(&stream, true, now, 0.0);
        assert_eq!(interest.next_step(now + LINGER * 2), None);
        assert_eq!(interest.linger_hits(), 1);
    }

    /// Symptom: a viewer got its stream's comments up to 17 s late, by audits. Cause: the UNSUBSCRIBE that a frozen Redis did
    /// not answer had run when it went on, and its stream, watched again by then, counted as subscribed to.
    #[test]
    fn a_stream_whose_unsubscribe_was_not_answered_is_subscribed_to_again_if_it_is_watched() {
        let (stream, now): (StreamId, _) = ("s".parse().unwrap(), Instant::now());
        let mut interest = Interest::new(LINGER);
        interest.connected(ConnectionId(1));
        interest.look(&stream, true, now, 0.0);
        interest.next_step(now);
        interest.subscribed(vec![stream.clone()], ConnectionId(1));
        interest.look(&stream, false, now, 0.0);
        let step = interest.next_step(now + LINGER * 2).unwrap();
        assert_eq!(step, Step::Unsubscribe(vec![stream.clone()]));
        interest.look(&stream, true, now + LINGER * 2, 0.0);
        interest.failed(step);
        assert_eq!(interest.next_step(now + LINGER * 2), Some(Step::Subscribe(vec![stream])));
    }

    #[test]
    fn a_grant_on_a_connection_that_is_gone_is_asked_for_again() {
        let (stream, now) = ("s".parse().unwrap(), Instant::now());
        let mut interest = Interest::new(LINGER);
        interest.connected(ConnectionId(1));
        interest.look(&stream, true, now, 0.0);
        let step = interest.next_step(now);
        interest.connected(ConnectionId(2));
        assert_eq!(interest.subscribed(vec![stream.clone()], ConnectionId(1)), []);
        assert_eq!(interest.next_step(now), step);
    }
}
