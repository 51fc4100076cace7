//! What a history is made of, and the order in which it happens.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tokio::time::Instant;

use super::{
    parts::{Attempt, CallAnswer, HistoryEnd, LAST_POST_MS, OpenCall, SimulatedLink, SimulatedPost},
    plan::{HISTORY_MS, Plan, PlanStep},
    pod::SimulatedPod,
    server::SimulatedShard,
    viewer::SimulatedViewer,
};
use crate::{
    domain::StreamId,
    shards::{
        backend::{
            memory::Keep,
            types::{Event, HistorySlice},
        },
        keeper::{Keeper, Moment, TICK},
    },
    telemetry::Sli,
};

/// Something that happens at its time.
pub(super) enum Happening {
    Step(PlanStep),
    /// Every fault ends, and viewers that are out come in.
    Heal,
    /// Each stream's last comment is posted.
    PostLast,
    Tick(usize),
    Look(usize),
    Write(usize),
    Connect(usize, usize),
    Arrive {
        pod: usize,
        shard: usize,
        connection: u64,
        event: Event,
    },
    Execute {
        call: u64,
        connection: u64,
    },
    Answer {
        call: u64,
        process: u64,
        answer: CallAnswer,
    },
    TimeOut {
        call: u64,
    },
    PostArrives(Attempt),
    PostAnswered {
        attempt: Attempt,
        process: u64,
        acked: Option<(String, u64, bool)>,
    },
    PostTimesOut(Attempt),
    PostAgain(Attempt),
    Visit {
        viewer: usize,
        visit: u64,
    },
    Return {
        viewer: usize,
        visit: u64,
    },
    ReadFor {
        viewer: usize,
        visit: u64,
    },
    HistoryFor {
        viewer: usize,
        visit: u64,
        slice: Option<HistorySlice>,
    },
    Refill {
        viewer: usize,
        visit: u64,
    },
}

pub(super) struct SimulatedWorld {
    pub(super) random: SmallRng,
    pub(super) now_ms: u64,
    pub(super) queue: BTreeMap<(u64, u64), Happening>,
    pub(super) numbers: u64,
    pub(super) events: u64,
    pub(super) net: Net,
    pub(super) pods: Vec<SimulatedPod>,
    pub(super) posting: OpenPosts,
    pub(super) viewers: Vec<SimulatedViewer>,
    pub(super) ending: HistoryEnd,
}

/// The shards, and the ways to them.
pub(super) struct Net {
    pub(super) servers: Vec<SimulatedShard>,
    /// By pod and shard.
    pub(super) links: Vec<Vec<SimulatedLink>>,
    pub(super) calls: HashMap<u64, OpenCall>,
    /// The calls that were answered.
    pub(super) done: HashSet<u64>,
    pub(super) streams: Vec<StreamId>,
    pub(super) forgotten: HashMap<String, Duration>,
    pub(super) rolled_back: bool,
}

/// The posts, and who waits for their answers.
#[derive(Default)]
pub(super) struct OpenPosts {
    pub(super) posts: Vec<SimulatedPost>,
    pub(super) bodies: u64,
    /// Attempts without an answer, by number.
    pub(super) waiting: HashMap<u64, Duration>,
    /// How many posts wait to be repeated.
    pub(super) repeating: u64,
}

impl SimulatedWorld {
    pub(super) fn new(plan: &Plan, sli: &Sli) -> Self {
        let Plan { seed, shape, steps } = plan;
        let now = Instant::now();
        let keep = Keep { comments: shape.history_comments, ttl: Duration::from_secs(3_600) };
        let streams: Vec<StreamId> =
            (0..shape.streams).filter_map(|n| format!("s{n}").parse().ok()).collect();
        let viewers =
            (0..shape.viewers).map(|n| SimulatedViewer::new(streams[n % shape.streams].clone())).collect();
        let pod = || SimulatedPod::new(shape.shards, shape.linger_ms, sli.clone(), now);
        let links = || std::iter::repeat_with(SimulatedLink::default).take(shape.shards).collect();
        let mut world = Self {
            random: SmallRng::seed_from_u64(*seed),
            now_ms: 0,
            queue: BTreeMap::new(),
            numbers: 0,
            events: 0,
            net: Net {
                servers: std::iter::repeat_with(|| SimulatedShard::new(keep)).take(shape.shards).collect(),
                links: std::iter::repeat_with(links).take(shape.pods).collect(),
                calls: HashMap::new(),
                done: HashSet::new(),
                streams,
                forgotten: HashMap::new(),
                rolled_back: false,
            },
            pods: std::iter::repeat_with(pod).take(shape.pods).collect(),
            posting: OpenPosts::default(),
            viewers,
            ending: HistoryEnd { cuts_last: shape.cuts_last, ..HistoryEnd::default() },
        };
        for (pod, shard) in (0..shape.pods).flat_map(|pod| (0..shape.shards).map(move |shard| (pod, shard))) {
            world.after(1, Happening::Connect(pod, shard));
        }
        (0..shape.pods).for_each(|pod| world.after(1, Happening::Tick(pod)));
        steps.iter().for_each(|(at, step)| world.at(*at, Happening::Step(*step)));
        world.at(HISTORY_MS, Happening::Heal);
        world.at(LAST_POST_MS, Happening::PostLast);
        world
    }

    pub(super) fn at(&mut self, at: u64, happening: Happening) {
        self.numbers += 1;
        self.queue.insert((at.max(self.now_ms), self.numbers), happening);
    }

    pub(super) fn after(&mut self, ms: u64, happening: Happening) {
        self.at(self.now_ms + ms, happening);
    }

    /// The time since the beginning.
    pub(super) fn time(&self) -> Duration {
        Duration::from_millis(self.now_ms)
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Step(step) => self.step(step),
            Happening::Heal => self.heal(),
            Happening::PostLast => self.post_last(),
            Happening::Tick(pod) => self.tick(pod),
            Happening::Look(pod) => self.look(pod),
            Happening::Write(pod) => self.write(pod),
            Happening::Connect(pod, shard) => self.connect(pod, shard),
            Happening::Arrive { pod, shard, connection, event } => {
                self.arrive((pod, shard), connection, event);
            }
            Happening::Execute { call, connection } => self.execute(call, connection),
            Happening::Answer { call, process, answer } => self.answer(call, process, answer),
            Happening::TimeOut { call } => self.complete(call, CallAnswer::Unavailable),
            Happening::PostArrives(attempt) => self.post_arrives(attempt),
            Happening::PostAnswered { attempt, process, acked } => {
                self.post_answered(attempt, process, acked);
            }
            Happening::PostTimesOut(attempt) => self.post_ends(attempt, None),
            Happening::PostAgain(attempt) => self.post_again(attempt),
            Happening::Visit { viewer, visit } => self.visit(viewer, visit),
            Happening::Return { viewer, visit } => self.come_back(viewer, visit),
            Happening::ReadFor { viewer, visit } => self.read_for(viewer, visit),
            Happening::HistoryFor { viewer, visit, slice } => {
                self.history_for((viewer, visit), slice.as_ref());
            }
            Happening::Refill { viewer, visit } => self.refill(viewer, visit),
        }
    }

    /// Until when something has to wait because its pod or shard stands still.
    pub(super) fn stands_still(&self, happening: &Happening) -> Option<u64> {
        let pod = match happening {
            Happening::Tick(pod) | Happening::Look(pod) | Happening::Write(pod) => Some(*pod),
            Happening::Arrive { pod, .. } => Some(*pod),
            Happening::Answer { call, .. } | Happening::TimeOut { call } => {
                self.net.calls.get(call).map(|call| call.pod)
            }
            Happening::Visit { viewer, .. }
            | Happening::HistoryFor { viewer, .. }
            | Happening::Refill { viewer, .. } => Some(self.viewers[*viewer].pod),
            _ => None,
        };
        let shard = match happening {
            Happening::Connect(_, shard) => Some(*shard),
            Happening::Execute { call, .. } => self.net.calls.get(call).map(|call| call.shard),
            Happening::PostArrives(attempt) => Some(self.shard_of(attempt.stream)),
            Happening::ReadFor { viewer, .. } => Some(self.shard_of_viewer(*viewer)),
            _ => None,
        };
        let of_pod = pod.map(|pod| self.pods[pod].paused_until);
        let of_shard = shard.map(|shard| self.net.servers[shard].frozen_until);
        of_pod.into_iter().chain(of_shard).max().filter(|until| *until > self.now_ms)
    }

    /// The shard that owns a stream.
    pub(super) fn shard_of(&self, stream: usize) -> usize {
        stream % self.net.servers.len()
    }

    pub(super) fn shard_of_viewer(&self, viewer: usize) -> usize {
        self.shard_of(viewer % self.net.streams.len())
    }

    /// Gives a keeper an input, sends its calls, and sees to what follows on the pod.
    pub(super) fn give(
        &mut self,
        (pod, shard): (usize, usize),
        acts: bool,
        input: impl FnOnce(&mut Keeper, &Moment<'_>),
    ) {
        let random = self.random.random();
        let calls = self.pods[pod].give(shard, (Instant::now(), random, acts), input);
        calls.into_iter().for_each(|call| self.send((pod, shard), call));
        self.settle(pod);
    }

    /// Lets the pod's other tasks run: soon, as after any change.
    pub(super) fn settle(&mut self, pod: usize) {
        let delay = self.random.random_range(0..3);
        self.after(delay, Happening::Write(pod));
        if self.pods[pod].is_nudged() {
            let delay = self.random.random_range(0..5);
            self.after(delay, Happening::Look(pod));
        }
    }

    pub(super) fn tick(&mut self, pod: usize) {
        self.after(u64::try_from(TICK.as_millis()).unwrap_or(100), Happening::Tick(pod));
        for shard in 0..self.net.servers.len() {
            let is_up = self.pods[pod].is_connected(shard);
            self.give((pod, shard), true, |keeper, moment| keeper.tick(is_up, moment));
        }
    }

    pub(super) fn look(&mut self, pod: usize) {
        for stream in self.pods[pod].take_nudged() {
            let shard = self.net.streams.iter().position(|other| *other == stream).unwrap_or(0);
            let acts = self.random.random_bool(0.7);
            self.give((pod, self.shard_of(shard)), acts, |keeper, moment| keeper.look(&stream, moment));
        }
    }
}
