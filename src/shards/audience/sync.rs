//! What this pod has to tell a shard about who watches its streams, and when.
//!
//! Level-triggered, as interest is: a round compares how many watch with what the shard was told. So a stream that did
//! not change costs nothing, a call that failed is made up for by the next round, and what the shard forgot is told anew.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

use super::pending_users::PendingUsers;
use crate::{
    domain::StreamId,
    shards::backend::types::{AudienceCount, Counted, Unavailable},
};

/// How often a round is made; a pod that is silent for six of them does not count any more.
pub(in crate::shards) const ROUND: Duration = Duration::from_secs(2);
/// The most streams in one call: others wait for as long as it takes.
pub(in crate::shards) const STREAMS: usize = 200;
/// About the most users in one call.
pub(in crate::shards) const USERS: usize = 2_000;
/// From this time between two ticks on, this pod stood still: its numbers may be of viewers who left meanwhile.
const STOOD_STILL: Duration = Duration::from_secs(1);
/// How long after that nothing is told, so that the pod takes note of who left.
pub(in crate::shards) const RECOVERS: Duration = Duration::from_millis(500);
/// How long numbers that get smaller are not believed after a shard forgot this pod: it forgot the others as well, and
/// they come back within this time. It is the longest pause between connections, a round, and what a busy machine adds,
/// and less than a pod that is gone may be counted for.
const SETTLES: Duration = Duration::from_secs(10);

/// What is told, and what was.
pub(in crate::shards) struct AudienceSync {
    pending_users: PendingUsers,
    /// What the shard was told last, where anybody watches.
    told: HashMap<StreamId, u64>,
    /// What is to be told.
    due: BTreeSet<StreamId>,
    round_at: Instant,
    /// Whether the next call must be made although nothing is due.
    calls: bool,
    /// Whether what the shard remembers of the streams in the calls is to be kept for longer.
    keeps: bool,
    /// Whether a call is under way that [`Self::next_call`] gave.
    busy: bool,
    /// After a call that failed, or after this pod stood still.
    rests_until: Instant,
    standstill: Standstill,
    settled_at: Option<Instant>,
    /// How many calls in a row had no answer: one may have said that the shard forgot this pod.
    unanswered: u32,
    /// How many calls were begun, and how many of them were answered or failed.
    begun: u64,
    over: u64,
    /// Smaller numbers of viewers elsewhere that came while calls were under way, and how many had been begun then.
    parked: HashMap<StreamId, Parked>,
}

/// Whether this pod stood still: its process or its machine was stopped, or had no processor.
struct Standstill {
    ticked_at: Instant,
    /// Whether it had stood still before the last tick.
    is_noted: bool,
}

impl Standstill {
    /// Takes note of a tick. Returns whether the pod stood still before it, and not before the last one: who always stands
    /// still counts all the same.
    fn begins(&mut self, now: Instant) -> bool {
        let stood_still = now.saturating_duration_since(self.ticked_at) >= STOOD_STILL;
        self.ticked_at = now;
        let was_noted = std::mem::replace(&mut self.is_noted, stood_still);
        stood_still && !was_noted
    }
}

/// A number that waits for the answer to a call, which may say that the shard forgot the pods.
struct Parked {
    begun: u64,
    elsewhere: u64,
}

/// A call to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shards) struct Call {
    pub(in crate::shards) counts: Vec<AudienceCount>,
    pub(in crate::shards) keeps: bool,
    /// Whether it was made out of turn.
    is_extra: bool,
}

impl AudienceSync {
    pub(in crate::shards) fn new(pending_users: PendingUsers, now: Instant) -> Self {
        Self {
            pending_users,
            told: HashMap::new(),
            due: BTreeSet::new(),
            round_at: now,
            calls: false,
            keeps: false,
            busy: false,
            rests_until: now,
            standstill: Standstill { ticked_at: now, is_noted: false },
            settled_at: None,
            unanswered: 0,
            begun: 0,
            over: 0,
            parked: HashMap::new(),
        }
    }

    /// Looks whether this pod stood still since the last tick: then it tells nothing until it knows who left meanwhile.
    pub(in crate::shards) fn tick(&mut self, now: Instant) {
        if self.standstill.begins(now) {
            self.rests_until = self.rests_until.max(now + RECOVERS);
        }
    }

    /// Whether a round is due.
    pub(in crate::shards) fn is_due(&self, now: Instant) -> bool {
        now >= self.round_at
    }

    /// Begins a round: compares what was told with how many watch these streams, and every stream that was told of.
    pub(in crate::shards) fn round<'a>(
        &mut self,
        streams: impl Iterator<Item = &'a StreamId>,
        viewers: impl Fn(&StreamId) -> u64,
        now: Instant,
    ) {
        self.round_at = now + ROUND;
        if self.settled_at.is_some_and(|settled_at| now >= settled_at) {
            self.settled_at = None;
            self.repeat();
        }
        let watched = streams.filter(|stream| !self.told.contains_key(stream) && viewers(stream) > 0);
        let changed = self.told.iter().filter(|(stream, told)| viewers(stream) != **told);
        self.due.extend(watched.cloned().chain(changed.map(|(stream, _)| stream.clone())));
        self.due.extend(self.pending_users.streams());
        // Who is silent does not count; who has nothing to count need not.
        self.calls |= !self.told.is_empty();
    }

    /// Tells everything again in the next round, which is due at once: something may have been lost.
    pub(in crate::shards) fn repeat(&mut self) {
        self.due.extend(self.told.keys().cloned());
        self.calls = true;
    }

    /// The same, and what the shard remembers is kept for longer.
    pub(in crate::shards) fn renew(&mut self) {
        self.keeps = true;
        self.repeat();
    }

    /// The next call to make, if one is due and none under way.
    pub(in crate::shards) fn next_call(
        &mut self,
        viewers: impl Fn(&StreamId) -> u64,
        now: Instant,
    ) -> Option<Call> {
        let nothing = !self.calls && self.due.is_empty();
        if nothing || self.busy || now < self.rests_until {
            return None;
        }
        (self.busy, self.calls) = (true, false);
        self.begun += 1;
        let (mut counts, mut users) = (Vec::new(), 0);
        while counts.len() < STREAMS
            && users < USERS
            && let Some(stream) = self.due.pop_first()
        {
            let count = self.count(stream, USERS - users, &viewers);
            users += count.users.len();
            if self.pending_users.has(&count.stream) {
                self.due.insert(count.stream.clone());
            }
            counts.push(count);
        }
        let keeps = self.keeps;
        self.keeps &= !self.due.is_empty();
        Some(Call { counts, keeps, is_extra: false })
    }

    /// Calls out of turn for streams that are just being opened, or watched again: who joins is told at once how many
    /// watch elsewhere.
    pub(in crate::shards) fn extra_calls(
        &mut self,
        streams: &[StreamId],
        viewers: impl Fn(&StreamId) -> u64,
    ) -> Vec<Call> {
        let calls = streams.chunks(STREAMS).map(|streams| {
            let counts = streams.iter().map(|stream| self.count(stream.clone(), 0, &viewers)).collect();
            Call { counts, keeps: false, is_extra: true }
        });
        let calls: Vec<_> = calls.collect();
        self.begun += calls.len() as u64;
        calls
    }

    fn count(&self, stream: StreamId, users: usize, viewers: impl Fn(&StreamId) -> u64) -> AudienceCount {
        let (viewers, users) = (viewers(&stream), self.pending_users.take(&stream, users));
        AudienceCount { stream, viewers, users }
    }

    /// Takes note of what became of a call. Returns how many watch its streams elsewhere, where that is known.
    pub(in crate::shards) fn answered(
        &mut self,
        call: Call,
        answer: Result<Counted, Unavailable>,
        now: Instant,
    ) -> Vec<(StreamId, u64)> {
        self.busy &= call.is_extra;
        self.over += 1;
        match answer {
            Ok(Counted::Taken { is_new, is_more, elsewhere }) => {
                self.calls |= is_more;
                let may_be_new = std::mem::take(&mut self.unanswered) > 0;
                if is_new {
                    self.told.clear();
                    self.round_at = now;
                } else if may_be_new {
                    let just_told: HashSet<_> = call.counts.iter().map(|count| &count.stream).collect();
                    let others = self.told.keys().filter(|stream| !just_told.contains(stream));
                    self.due.extend(others.cloned());
                }
                if is_new || may_be_new {
                    self.settled_at = Some(now + SETTLES);
                }
                for AudienceCount { stream, viewers, .. } in &call.counts {
                    match viewers {
                        0 => self.told.remove(stream),
                        _ => self.told.insert(stream.clone(), *viewers),
                    };
                }
                call.counts.into_iter().map(|count| count.stream).zip(elsewhere).collect()
            }
            Ok(Counted::Later) => {
                self.give_back(call);
                self.calls = true;
                Vec::new()
            }
            Err(Unavailable) => {
                self.keeps |= call.keeps;
                self.unanswered += 1;
                self.give_back(call);
                self.rests_until = now + ROUND;
                Vec::new()
            }
        }
    }

    fn give_back(&mut self, call: Call) {
        for AudienceCount { stream, users, .. } in call.counts {
            self.pending_users.note(&stream, &users);
            self.due.insert(stream);
        }
    }

    /// Returns whether a number of viewers elsewhere is to be believed, where it was another before. A smaller one is not
    /// while the shard may have forgotten pods: what a call publishes comes on another connection, so maybe before the answer
    /// that says so. One that comes while calls are under way waits for their answers, see [`Self::waited`].
    pub(in crate::shards) fn believes(&mut self, stream: &StreamId, elsewhere: u64, before: u64) -> bool {
        // What waits is older.
        self.parked.remove(stream);
        let may_be_forgotten = self.settled_at.is_some() || self.unanswered > 0;
        if elsewhere < before && !may_be_forgotten && self.begun > self.over {
            self.parked.insert(stream.clone(), Parked { begun: self.begun, elsewhere });
            return false;
        }
        elsewhere >= before || !may_be_forgotten
    }

    /// Takes the numbers whose calls are all answered: each is asked about again.
    pub(in crate::shards) fn waited(&mut self) -> Vec<(StreamId, u64)> {
        let over = self.over;
        let waited = self.parked.extract_if(|_, parked| parked.begun <= over);
        waited.map(|(stream, parked)| (stream, parked.elsewhere)).collect()
    }

    /// Whether the shard counts viewers of this pod.
    pub(in crate::shards) fn counts(&self) -> bool {
        !self.told.is_empty()
    }
}
