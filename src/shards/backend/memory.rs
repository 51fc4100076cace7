//! A shard in this process's memory, for a pod that has no Redis: the same order, history and subscriptions.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{sync::mpsc, time::Instant};

use super::{
    cardinality::Cardinality,
    types::{
        Audience, AudienceCount, ConnectionId, Counted, Event, Events, FormerTimeline, HistorySlice,
        KindCounts, MOST_FORMER, MOST_REVOCATIONS, Post, Revocation, SliceRange,
    },
};
use crate::{
    domain::{Accepted, Epoch, Kind, Position, PublishError, StreamId, Timeline, now_ms},
    protocol::Entry,
};

/// Idempotency ids are kept for one to two of these.
const KEY_GENERATION: Duration = Duration::from_secs(600);
/// The most bytes that all histories and idempotency ids take together, roughly; beyond, the streams that were
/// quiet longest are forgotten, and those who come back to them are told `reset`.
const MAX_BYTES: usize = 512 * 1024 * 1024;
/// The most streams with a history.
const MAX_STREAMS: usize = 100_000;
/// What an entry or an idempotency id costs besides its text.
const OVERHEAD_BYTES: usize = 200;
/// How many messages may wait for the keeper. Beyond, they are dropped and the keeper is told: it reads the history.
const EVENTS: usize = 16_384;
/// The embedded shard's only connection never breaks.
const CONNECTION: ConnectionId = ConnectionId(1);

/// How long histories are.
#[derive(Debug, Clone, Copy)]
pub(in crate::shards) struct Keep {
    /// The most comments that a history holds.
    pub(in crate::shards) comments: usize,
    /// How long a history is kept after the last post or read.
    pub(in crate::shards) ttl: Duration,
}

/// A shard in memory. Cloning shares it.
#[derive(Clone)]
pub(in crate::shards) struct Embedded(Arc<Inner>);

struct Inner {
    keep: Keep,
    /// Guards every history and who is subscribed, so that each operation is one atomic step; held for microseconds.
    store: Mutex<Store>,
    events: mpsc::Sender<Event>,
    overrun: Arc<AtomicBool>,
}

#[derive(Clone, Default)]
struct Store {
    records: HashMap<StreamId, Record>,
    subscribed: HashSet<StreamId>,
    /// Users by the time of their revocation, in milliseconds since the Unix epoch; a later one has a later time.
    revoked: BTreeMap<u64, String>,
    bytes: usize,
}

/// One stream's history.
#[derive(Clone)]
struct Record {
    head: Position,
    former: Vec<FormerTimeline>,
    /// Whether another process wrote this: the next post begins a timeline.
    is_inherited: bool,
    entries: VecDeque<Entry>,
    tally: KindCounts,
    /// The most viewers at once.
    peak: u64,
    users: Cardinality,
    keys: HashMap<(String, String), (u64, Accepted)>,
    older_keys: HashMap<(String, String), (u64, Accepted)>,
    keys_since: Instant,
    touched: Instant,
    bytes: usize,
}

impl Embedded {
    pub(in crate::shards) fn new(keep: Keep) -> (Self, Events) {
        let (events, queue) = mpsc::channel(EVENTS);
        let overrun = Arc::new(AtomicBool::new(false));
        let heard = Events::new(queue, Arc::clone(&overrun));
        let embedded = Self(Arc::new(Inner { keep, store: Mutex::default(), events, overrun }));
        embedded.send(Event::Connected(CONNECTION));
        (embedded, heard)
    }

    fn send(&self, event: Event) {
        if self.0.events.try_send(event).is_err() {
            self.0.overrun.store(true, Ordering::Release);
        }
    }

    pub(in crate::shards) fn publish(&self, stream: &StreamId, post: Post) -> Result<Accepted, PublishError> {
        let now = Instant::now();
        let mut store = self.0.store.lock();
        let record = store.record(stream, post.candidate_epoch, &self.0.keep, now);
        let before = record.bytes;
        if let Some(known) = record.known(&post, now) {
            return known;
        }
        let (payload, accepted) = record.append(post, self.0.keep.comments);
        let after = record.bytes;
        store.bytes = (store.bytes + after).saturating_sub(before);
        store.make_room();
        if store.subscribed.contains(stream) {
            // Still under the lock: messages leave in the order of their numbers.
            self.send(Event::Message { stream: stream.clone(), payload });
        }
        Ok(accepted)
    }

    pub(in crate::shards) fn read(&self, stream: &StreamId, span: SliceRange) -> HistorySlice {
        let mut store = self.0.store.lock();
        store.make_room();
        let record = store.record(stream, Epoch::random(), &self.0.keep, Instant::now());
        let after = record.entries.partition_point(|entry| entry.seq <= span.after_seq);
        let start = after.max(record.entries.len().saturating_sub(span.newest));
        let entries = record.entries.range(start..).cloned().collect();
        HistorySlice { head: record.head, former: record.former.clone(), entries }
    }

    pub(in crate::shards) fn heads(&self, streams: &[StreamId]) -> Vec<Option<Position>> {
        let now = Instant::now();
        let mut store = self.0.store.lock();
        let mut head = |stream| {
            let record = store.records.get_mut(stream).filter(|record| record.is_fresh(&self.0.keep, now))?;
            record.touched = now;
            Some(record.head)
        };
        streams.iter().map(&mut head).collect()
    }

    pub(in crate::shards) fn tally(&self, stream: &StreamId) -> Option<KindCounts> {
        let store = self.0.store.lock();
        let record = store.records.get(stream)?;
        record.is_fresh(&self.0.keep, Instant::now()).then_some(record.tally)
    }

    pub(in crate::shards) fn revoke(&self, user: &str, keep: Duration) {
        let mut store = self.0.store.lock();
        let revoked = &mut store.revoked;
        let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let last = revoked.last_key_value().map_or(0, |(at_ms, _)| *at_ms);
        let at_ms = now_ms().max(last + 1);
        *revoked = revoked.split_off(&at_ms.saturating_sub(keep_ms));
        revoked.insert(at_ms, user.to_owned());
    }

    pub(in crate::shards) fn revocations(&self, after: &str) -> Vec<Revocation> {
        let after_ms: u64 = after.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or(0);
        let store = self.0.store.lock();
        let news = store.revoked.range(after_ms + 1..).take(MOST_REVOCATIONS);
        news.map(|(at_ms, user)| Revocation { id: format!("{at_ms}-0"), user: user.clone() }).collect()
    }

    pub(in crate::shards) fn subscribe(&self, streams: &[StreamId]) -> ConnectionId {
        self.0.store.lock().subscribed.extend(streams.iter().cloned());
        CONNECTION
    }

    pub(in crate::shards) fn count(&self, counts: &[AudienceCount]) -> Counted {
        let now = Instant::now();
        let mut store = self.0.store.lock();
        for AudienceCount { stream, viewers, users } in counts {
            let record = store.record(stream, Epoch::random(), &self.0.keep, now);
            let before = record.bytes;
            record.note(*viewers, users);
            let after = record.bytes;
            store.bytes = (store.bytes + after).saturating_sub(before);
        }
        store.make_room();
        Counted::Taken { is_new: false, is_more: false, elsewhere: vec![0; counts.len()] }
    }

    pub(in crate::shards) fn audience(&self, stream: &StreamId) -> Audience {
        let store = self.0.store.lock();
        let fresh = |record: &&Record| record.is_fresh(&self.0.keep, Instant::now());
        store.records.get(stream).filter(fresh).map_or_else(Audience::default, |record| Audience {
            elsewhere: 0,
            peak: record.peak,
            users: record.users.count(),
        })
    }

    pub(in crate::shards) fn unsubscribe(&self, streams: &[StreamId]) {
        let mut store = self.0.store.lock();
        for stream in streams {
            store.subscribed.remove(stream);
        }
    }
}

#[cfg(feature = "simulation")]
impl Embedded {
    /// Another process with the same histories.
    pub(in crate::shards) fn copy(&self) -> (Self, Events) {
        let (copy, events) = Self::new(self.0.keep);
        let mut store = self.0.store.lock().clone();
        store.records.values_mut().for_each(|record| record.is_inherited = true);
        *copy.0.store.lock() = store;
        (copy, events)
    }
}

impl Store {
    /// The stream's history; a new one under the epoch given, if it has none or its time is over.
    fn record(&mut self, stream: &StreamId, epoch: Epoch, keep: &Keep, now: Instant) -> &mut Record {
        let record = self.records.entry(stream.clone()).or_insert_with(|| Record::new(epoch, now));
        if !record.is_fresh(keep, now) {
            self.bytes -= record.begin_anew(epoch);
        }
        record.touched = now;
        record
    }

    fn forget(&mut self, stream: &StreamId) {
        if let Some(record) = self.records.remove(stream) {
            self.bytes = self.bytes.saturating_sub(record.bytes);
        }
    }

    /// Over a limit, forgets the sixteenth of the streams that was quiet longest, watched ones last.
    fn make_room(&mut self) {
        if self.bytes <= MAX_BYTES && self.records.len() <= MAX_STREAMS {
            return;
        }
        let age =
            |(id, record): (&StreamId, &Record)| (self.subscribed.contains(id), record.touched, id.clone());
        let mut by_age: Vec<_> = self.records.iter().map(age).collect();
        by_age.sort_unstable();
        let some = by_age.len().div_ceil(16);
        by_age.iter().take(some).for_each(|(_, _, id)| self.forget(id));
    }
}

impl Record {
    fn new(epoch: Epoch, now: Instant) -> Self {
        Self {
            head: Position::start_of(epoch),
            former: Vec::new(),
            is_inherited: false,
            entries: VecDeque::new(),
            tally: KindCounts::default(),
            peak: 0,
            users: Cardinality::default(),
            keys: HashMap::new(),
            older_keys: HashMap::new(),
            keys_since: now,
            touched: now,
            bytes: 0,
        }
    }

    fn is_fresh(&self, keep: &Keep, now: Instant) -> bool {
        now.saturating_duration_since(self.touched) < keep.ttl
    }

    /// Ends a history whose time is over; its idempotency ids have a time of their own. Returns the bytes set free.
    fn begin_anew(&mut self, epoch: Epoch) -> usize {
        let entries: usize = self.entries.drain(..).map(|entry| cost(&entry)).sum();
        let freed = entries + std::mem::take(&mut self.users).bytes();
        self.peak = 0;
        self.bytes -= freed;
        self.head = Position::start_of(epoch);
        self.former.clear();
        self.is_inherited = false;
        self.tally = KindCounts::default();
        freed
    }

    /// Takes note of who watches.
    fn note(&mut self, viewers: u64, users: &[u64]) {
        self.peak = self.peak.max(viewers);
        self.bytes -= self.users.bytes();
        users.iter().for_each(|user| self.users.add(*user));
        self.bytes += self.users.bytes();
    }

    /// The answer that a repeated post gets; none for a new one.
    fn known(&mut self, post: &Post, now: Instant) -> Option<Result<Accepted, PublishError>> {
        let generations = now.saturating_duration_since(self.keys_since).as_secs() / KEY_GENERATION.as_secs();
        if generations > 0 {
            self.bytes -= self.older_keys.len() * OVERHEAD_BYTES;
            self.older_keys = std::mem::take(&mut self.keys);
            if generations > 1 {
                self.bytes -= self.older_keys.len() * OVERHEAD_BYTES;
                self.older_keys.clear();
            }
            self.keys_since = now;
        }
        let key = post.key.as_ref()?;
        let place = (key.owner.clone(), key.id.as_str().to_owned());
        let (digest, accepted) = self.keys.get(&place).or_else(|| self.older_keys.get(&place))?;
        let same = *digest == key.digest;
        Some(if same { Ok(Accepted { duplicate: true, ..*accepted }) } else { Err(PublishError::IdReused) })
    }

    /// Appends the comment and drops what is over the limit; returns its envelope and its place.
    fn append(&mut self, post: Post, most: usize) -> (Bytes, Accepted) {
        if std::mem::take(&mut self.is_inherited) {
            self.former.push(FormerTimeline { timeline: self.head.timeline, end: self.head.seq });
            self.former.drain(..self.former.len().saturating_sub(MOST_FORMER));
            self.head.timeline = Some(Timeline::random());
        }
        let entry = Entry {
            ring_epoch: post.ring_epoch,
            epoch: self.head.epoch,
            seq: self.head.seq + 1,
            id: post.id,
            previous: self.head.id,
            timeline: self.head.timeline,
            at_ms: now_ms(),
            accepted_at_ms: post.accepted_at_ms,
            priority: post.kind != Kind::Comment,
            trace: post.trace,
            fragment: post.fragment,
        };
        let envelope = entry.encode(post.kind.name());
        let accepted = Accepted { id: entry.id, seq: entry.seq, duplicate: false };
        self.head = entry.position();
        self.tally.count(post.kind);
        self.bytes += cost(&entry);
        self.entries.push_back(entry);
        while self.entries.len() > most {
            self.bytes -= self.entries.pop_front().as_ref().map_or(0, cost);
        }
        if let Some(key) = post.key {
            self.bytes += OVERHEAD_BYTES;
            self.keys.insert((key.owner, key.id.as_str().to_owned()), (key.digest, accepted));
        }
        (envelope, accepted)
    }
}

fn cost(entry: &Entry) -> usize {
    entry.fragment.bytes().len() + OVERHEAD_BYTES
}
