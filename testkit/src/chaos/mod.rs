//! Chaos: viewers watch and posters post while faults of many kinds come and go by a seeded schedule, and the checker
//! has the last word.

mod faults;
mod field;
mod poster;
mod report;
mod schedule;
mod watcher;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{sync::watch, task::JoinSet, time::timeout};

pub use self::{faults::Kind, report::Report};
use self::{
    faults::PlannedFault,
    field::Field,
    poster::Poster,
    schedule::Schedule,
    watcher::{Tally, Watcher},
};
use crate::{
    checker::{Ledger, Posted, Watch},
    pause, stream_for,
};

const PODS: usize = 3;
const SHARDS: usize = 3;
/// How long healing is waited for; what takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(45);
/// After how long it is told who waits for what.
const TELLS_AFTER: Duration = Duration::from_secs(8);
/// How often it is looked whether something was noticed, or is healed.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Between two faults, so that what is seen of one is not taken for the next one's.
const REST: Duration = Duration::from_millis(500);

/// What is to happen.
pub struct Plan {
    /// The seed of the schedule: the same seed brings the same faults.
    pub seed: u64,
    /// The time in which faults begin.
    pub time: Duration,
    /// Viewers, over all streams.
    pub viewers: usize,
    /// Streams, over all shards.
    pub streams: usize,
    /// Posts a second, over all streams.
    pub posts_per_second: u64,
    /// The kinds of faults.
    pub kinds: Vec<Kind>,
}

/// What came of a fault, or of two at once.
struct Struck {
    faults: Vec<PlannedFault>,
    /// From its beginning until a pod told that something is wrong or was mended, or a viewer lost its socket.
    noticed: Option<Duration>,
    /// From its end until every viewer had what was posted to every stream after it.
    healed: Option<Duration>,
    /// Sockets that viewers lost meanwhile.
    lost: u64,
}

/// A run.
struct Chaos {
    field: Arc<Field>,
    tally: Arc<Tally>,
    poster: Poster,
    owners: HashMap<String, usize>,
    ledger: Ledger,
    markers: u32,
}

/// Runs it all.
pub async fn run(plan: &Plan) -> Report {
    let begun = Instant::now();
    let mut chaos = Chaos::start(plan).await;
    let mut watchers = chaos.watchers(plan);
    let (over, told) = watch::channel(false);
    let posting = JoinSet::from_iter([chaos.poster.clone().run(plan.posts_per_second, told)]);
    let first = chaos.heal().await;
    assert!(first.is_some(), "every viewer is there: {} are not", chaos.tally.without(chaos.markers));
    println!("seed {}: {} viewers are there after {:.1?}", plan.seed, plan.viewers, begun.elapsed());
    let mut schedule = Schedule::new(plan.seed, &plan.kinds, PODS, SHARDS);
    let (begun, mut struck) = (Instant::now(), Vec::new());
    while begun.elapsed() < plan.time {
        let one = chaos.strike(schedule.next()).await;
        println!("{:6.1} s {}", begun.elapsed().as_secs_f64(), report::line(&one));
        let is_stuck = one.healed.is_none();
        struck.push(one);
        if is_stuck {
            break;
        }
        pause(REST).await;
    }
    let took = begun.elapsed();
    over.send_replace(true);
    chaos.ledger.posts.extend(posting.join_all().await.into_iter().flatten());
    chaos.finish(&mut watchers).await;
    let Chaos { tally, ledger, .. } = chaos;
    Report { seed: plan.seed, viewers: plan.viewers, took, struck, ledger, tally }
}

impl Chaos {
    async fn start(plan: &Plan) -> Self {
        let field = Arc::new(Field::start(PODS, SHARDS).await);
        let streams: Arc<Vec<_>> = Arc::new((0..plan.streams).map(|_| stream_for("chaos")).collect());
        let mut owners = HashMap::new();
        for stream in streams.iter() {
            owners.insert(stream.clone(), field.owner(stream).await);
        }
        let poster = Poster { field: Arc::clone(&field), streams };
        // A replica that lags uses numbers again.
        let ledger = Ledger { rolled_back: true, ..Ledger::default() };
        let tally = Arc::new(Tally::of(plan.viewers));
        Self { field, tally, poster, owners, ledger, markers: 0 }
    }

    fn watchers(&self, plan: &Plan) -> JoinSet<Watch> {
        let watcher = |number: usize| {
            let stream = &self.poster.streams[number % self.poster.streams.len()];
            Watcher::new(Arc::clone(&self.field), Arc::clone(&self.tally), number, stream).run()
        };
        (0..plan.viewers).map(watcher).collect()
    }

    /// Lets faults happen, and waits until everybody has everything again.
    async fn strike(&mut self, faults: Vec<PlannedFault>) -> Struck {
        let lost_before = self.tally.lost.load(Relaxed);
        let before = self.field.look().await;
        let (over, told) = watch::channel(false);
        let noticing = async {
            while !*told.borrow() {
                if self.tally.lost.load(Relaxed) > lost_before || self.field.look().await != before {
                    return Some(Instant::now());
                }
                pause(LOOK_EVERY).await;
            }
            None
        };
        let striking = async {
            let begun = join_all(faults.iter().map(|fault| fault.strike(&self.field))).await;
            let ended = Instant::now();
            let (posts, healed) = self.healing(self.markers + 1, ended).await;
            over.send_replace(true);
            (begun, ended, posts, healed)
        };
        let (noticed, (begun, ended, posts, healed)) = tokio::join!(noticing, striking);
        let begun = begun.into_iter().min().unwrap_or(ended);
        let noticed = noticed.map(|at| at.saturating_duration_since(begun));
        self.markers += 1;
        self.ledger.posts.extend(posts);
        for shard in faults.iter().filter_map(PlannedFault::forgets) {
            let streams = self.owners.iter().filter(|(_, owner)| **owner == shard);
            self.ledger.forgotten.extend(streams.map(|(stream, _)| (stream.clone(), ended)));
        }
        if faults.iter().any(PlannedFault::takes_pod) {
            self.field.restore().await;
        }
        let lost = self.tally.lost.load(Relaxed) - lost_before;
        Struck { faults, noticed, healed, lost }
    }

    /// Posts a marker everywhere; tells when everybody has it.
    async fn heal(&mut self) -> Option<Duration> {
        let (posts, healed) = self.healing(self.markers + 1, Instant::now()).await;
        self.markers += 1;
        self.ledger.posts.extend(posts);
        healed
    }

    async fn healing(&self, marker: u32, since: Instant) -> (Vec<Posted>, Option<Duration>) {
        let arriving = async {
            while self.tally.without(marker) > 0 {
                pause(LOOK_EVERY).await;
            }
            // Pods say so as well.
            while !self.field.look().await.iter().flatten().all(field::Look::is_well) {
                pause(LOOK_EVERY).await;
            }
            since.elapsed()
        };
        let telling = async {
            tokio::pin!(arriving);
            match timeout(TELLS_AFTER, &mut arriving).await {
                Ok(healed) => healed,
                Err(_) => {
                    self.tell_what_is_stuck(marker).await;
                    arriving.await
                }
            }
        };
        let (posts, healed) = tokio::join!(self.poster.mark(marker), timeout(PATIENCE, telling));
        (posts, healed.ok())
    }

    /// For whoever has to find out why.
    async fn tell_what_is_stuck(&self, marker: u32) {
        let mut waiting = [0; SHARDS];
        for number in self.tally.those_without(marker) {
            waiting[self.owners[&self.poster.streams[number % self.poster.streams.len()]]] += 1;
        }
        println!("not healed: so many viewers of each shard's streams wait: {waiting:?}; the pods say:");
        for place in 0..PODS {
            let Some(pod) = self.field.pod(place) else { continue };
            let said = timeout(LOOK_EVERY * 20, pod.probe("/ready")).await;
            println!("pod-{place}: {}", said.map_or("nothing".to_owned(), |answer| answer.body));
            let lines = pod.log_lines();
            lines[lines.len().saturating_sub(15)..].iter().for_each(|line| println!("  {line}"));
        }
    }

    /// Ends the streams, waits for the viewers and then for the pods' rest.
    async fn finish(&mut self, watchers: &mut JoinSet<Watch>) {
        self.ledger.posts.extend(self.poster.end().await);
        let tally = Arc::clone(&self.tally);
        let watches = &mut self.ledger.watches;
        let all = async {
            while let Some(watch) = watchers.join_next().await {
                watches.push(watch.unwrap());
            }
        };
        if timeout(PATIENCE, all).await.is_err() {
            // What they miss is for the checker to tell.
            tally.stop.store(true, Relaxed);
            while let Some(watch) = watchers.join_next().await {
                self.ledger.watches.push(watch.unwrap());
            }
        }
        self.ledger.rests = self.field.rests(self.poster.streams.len() as u64 * 100).await;
    }
}
