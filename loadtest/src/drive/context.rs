//! What all sockets of a process share: the plan, clock, phase, ledgers and tallies.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};

use super::{
    plan::{Plan, Target},
    schedule::Schedule,
};
use crate::{
    base::clock::Clock,
    check::{
        ledger::Ledger,
        recent::Recent,
        tally::{Tallies, Tally},
    },
    protocol::tls::Tls,
};

/// Where the run is. Posts begin in `Posting`; everything ends at `Finished`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Joining,
    Posting { start_us: u64 },
    Finished,
}

/// What may be expected of a viewer, and so which tally it counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Steady,
    Moving,
    Slow,
}

/// Which of the processes of a run this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Share {
    pub(crate) index: u16,
    pub(crate) of: u16,
}

impl Share {
    /// Whether it has this one of so many things, which it shares with the others in blocks.
    pub(crate) fn has(self, number: u32, total: u32) -> bool {
        let block = u64::from(number) * u64::from(self.of) / u64::from(total.max(1));
        block == u64::from(self.index)
    }
}

/// Everything that a process must be told to take part in a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Brief {
    pub(crate) plan: Plan,
    /// Addresses of the targets, in their order.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The same of those that REST posts go to, if these are others.
    pub(crate) rest_addresses: Vec<SocketAddr>,
    /// Distinguishes this run's streams and posts from those of others.
    pub(crate) run: u32,
    /// When the run began, as `proc::monotonic_us` reads.
    pub(crate) epoch_us: u64,
    pub(crate) share: Share,
}

/// A process's common ground.
pub(crate) struct Context {
    pub(crate) plan: Plan,
    pub(crate) clock: Clock,
    pub(crate) run: u32,
    pub(crate) share: Share,
    addresses: Vec<SocketAddr>,
    rest_addresses: Vec<SocketAddr>,
    tls: Option<Tls>,
    /// Bounds the handshakes in flight of those who are there from the start.
    pub(crate) joins: Semaphore,
    phase: watch::Sender<Phase>,
    /// Each guards what is known of one stream; held while one read is taken in.
    ledgers: Vec<Mutex<Ledger>>,
    /// Each guards the last frames of one stream; taken before its ledger, held as long.
    recents: Vec<Mutex<Recent>>,
    /// Each guards the counts of a share of the sockets of one class; taken after a ledger, held as long.
    tallies: [Vec<Mutex<Tally>>; 3],
    open: Arc<AtomicU64>,
}

/// One open connection; dropping it is leaving.
pub(crate) struct Presence(Arc<AtomicU64>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Context {
    pub(crate) fn new(brief: Brief, tls: Option<Tls>) -> Self {
        let Brief { plan, addresses, rest_addresses, run, epoch_us, share } = brief;
        let threads = || (0..plan.threads).map(|_| Mutex::default()).collect();
        let mut context = Self {
            clock: Clock::since(epoch_us),
            run,
            share,
            addresses,
            rest_addresses,
            tls,
            joins: Semaphore::new((plan.in_flight / u32::from(share.of)).max(1) as usize),
            phase: watch::Sender::new(Phase::Joining),
            ledgers: Vec::new(),
            recents: (0..plan.streams).map(|_| Mutex::default()).collect(),
            tallies: [threads(), threads(), threads()],
            open: Arc::default(),
            plan,
        };
        let numbers = (share.of > 1).then(|| context.numbers());
        context.ledgers = (0..context.plan.streams).map(|_| Mutex::new(Ledger::expecting(numbers))).collect();
        context
    }

    /// Comments and gifts that each stream gets in the whole run.
    fn numbers(&self) -> (u32, u32) {
        let last = |all: &[Schedule]| all.last().map_or(0, |last| last.first + last.posts_per_stream());
        (last(&[self.comments(0)]), last(&self.gifts(0)))
    }

    pub(crate) fn ledger(&self, stream: u32) -> MutexGuard<'_, Ledger> {
        self.ledgers[stream as usize % self.ledgers.len()].lock()
    }

    pub(crate) fn recent(&self, stream: u32) -> MutexGuard<'_, Recent> {
        self.recents[stream as usize % self.recents.len()].lock()
    }

    pub(crate) fn tally(&self, (socket, class): (u32, Class)) -> MutexGuard<'_, Tally> {
        let tallies = &self.tallies[class as usize];
        tallies[socket as usize % tallies.len()].lock()
    }

    /// Everything counted so far.
    pub(crate) fn total(&self) -> Tallies {
        let total = |tallies: &[Mutex<Tally>]| {
            let mut total = Tally::default();
            tallies.iter().for_each(|tally| total.add(&tally.lock()));
            total
        };
        let [steady, moving, slow] = &self.tallies;
        Tallies { steady: total(steady), moving: total(moving), slow: total(slow) }
    }

    /// Enters a connection that is open.
    pub(crate) fn enter_presence(&self) -> Presence {
        self.open.fetch_add(1, Relaxed);
        Presence(Arc::clone(&self.open))
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Relaxed)
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

    /// The target with this number, which may be beyond the last.
    pub(crate) fn target(&self, number: u32) -> (&Target, SocketAddr) {
        let index = number as usize % self.addresses.len();
        (&self.plan.targets[index], self.addresses[index])
    }

    /// Where a REST worker posts.
    pub(crate) fn rest_target(&self, number: u32) -> (&Target, SocketAddr) {
        match (number as usize).checked_rem(self.rest_addresses.len()) {
            Some(index) => (&self.plan.rest_targets[index], self.rest_addresses[index]),
            None => self.target(number),
        }
    }

    /// The address that this socket connects from; `None` leaves it to the kernel.
    pub(crate) fn source(&self, socket: u32) -> Option<IpAddr> {
        let sources = &self.plan.sources;
        sources.get(socket as usize % sources.len().max(1)).copied()
    }

    /// How to encrypt connections to this target; `None` if they are plain.
    pub(crate) fn tls<'a>(&'a self, target: &'a Target) -> Option<(&'a Tls, &'a str)> {
        self.tls.as_ref().filter(|_| target.tls).map(|tls| (tls, target.authority.as_str()))
    }

    /// The schedule of the comments of a run that began to post at this time.
    pub(crate) fn comments(&self, start_us: u64) -> Schedule {
        Schedule::comments(&self.plan, start_us)
    }

    /// The schedules of its gifts: the even rate, then the bursts.
    pub(crate) fn gifts(&self, start_us: u64) -> Vec<Schedule> {
        Schedule::gifts(&self.plan, start_us)
    }
}
