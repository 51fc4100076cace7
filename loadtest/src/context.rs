//! What all sockets of a run share: its plan, clock, phase, ledgers and tallies.

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Semaphore, watch};

use crate::{
    clock::Clock,
    ledger::Ledger,
    plan::{Plan, Target},
    schedule::Schedule,
    tally::Tally,
};

/// Where the run is. Posts begin in `Posting`; everything ends at `Finished`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Joining,
    Posting { start_us: u64 },
    Finished,
}

/// A run's common ground.
pub(crate) struct Context {
    pub(crate) plan: Plan,
    pub(crate) clock: Clock,
    /// Distinguishes this run's streams and posts from those of others.
    pub(crate) run: u32,
    /// Addresses of the targets, in their order.
    pub(crate) addresses: Vec<std::net::SocketAddr>,
    /// The same of those that REST posts go to.
    pub(crate) rest_addresses: Vec<std::net::SocketAddr>,
    /// Bounds the handshakes in flight.
    pub(crate) joins: Semaphore,
    phase: watch::Sender<Phase>,
    /// Each guards what is known of one stream; held while one read is taken in.
    ledgers: Vec<Mutex<Ledger>>,
    /// Each guards the counts of a share of the sockets; taken after a ledger, held as long.
    tallies: Vec<Mutex<Tally>>,
}

impl Context {
    pub(crate) fn new(
        plan: Plan,
        [addresses, rest_addresses]: [Vec<std::net::SocketAddr>; 2],
        run: u32,
    ) -> Self {
        Self {
            clock: Clock::start(),
            run,
            addresses,
            rest_addresses,
            joins: Semaphore::new(plan.in_flight as usize),
            phase: watch::Sender::new(Phase::Joining),
            ledgers: (0..plan.streams).map(|_| Mutex::default()).collect(),
            tallies: (0..plan.threads).map(|_| Mutex::default()).collect(),
            plan,
        }
    }

    pub(crate) fn ledger(&self, stream: u32) -> MutexGuard<'_, Ledger> {
        self.ledgers[stream as usize % self.ledgers.len()].lock()
    }

    pub(crate) fn tally(&self, socket: u32) -> MutexGuard<'_, Tally> {
        self.tallies[socket as usize % self.tallies.len()].lock()
    }

    /// Everything counted so far.
    pub(crate) fn total(&self) -> Tally {
        let mut total = Tally::default();
        for tally in &self.tallies {
            total.add(&tally.lock());
        }
        total
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    pub(crate) fn is_finished(&self) -> bool {
        *self.phase.borrow() == Phase::Finished
    }

    pub(crate) fn stream_name(&self, stream: u32) -> String {
        self.plan.stream_name(self.run, stream)
    }

    /// Where a socket connects. The viewers of each stream are spread over all targets, and so are the streams.
    pub(crate) fn target(&self, socket: u32) -> (&Target, std::net::SocketAddr) {
        let watched = self.plan.watched.max(1);
        let index = (socket % watched + socket / watched) as usize % self.addresses.len();
        (&self.plan.targets[index], self.addresses[index])
    }

    /// Where a REST worker posts.
    pub(crate) fn rest_target(&self, number: u32) -> (&Target, std::net::SocketAddr) {
        match self.rest_addresses.len() {
            0 => self.target(number),
            targets => {
                let index = number as usize % targets;
                (&self.plan.rest_targets[index], self.rest_addresses[index])
            }
        }
    }

    /// The schedule of the comments of a run that began to post at this time.
    pub(crate) fn comments(&self, start_us: u64) -> Schedule {
        Schedule { rate: self.plan.rate, streams: self.plan.streams, start_us, seconds: self.plan.seconds }
    }

    /// The schedule of its gifts.
    pub(crate) fn gifts(&self, start_us: u64) -> Schedule {
        Schedule { rate: self.plan.gifts_per_second, ..self.comments(start_us) }
    }
}
