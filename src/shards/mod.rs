//! Where a stream's order is made: shards, what this pod wants to hear of them, and what it does with what it hears.
//!
//! The [`Shards`] handle publishes and reads. One keeper task a shard subscribes to the streams that are watched, checks
//! that each entry follows its predecessor, mends what does not from history, and delivers to the hub.

mod audience;
mod backend;
mod fleet;
#[cfg(feature = "hear-everything")]
mod heard;
mod history;
mod keeper;
mod list;
mod list_file;
mod revocations;
mod routing;
mod settings;
#[cfg(feature = "simulation")]
pub mod simulation;
#[cfg(test)]
mod tests;
mod track;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

pub use self::{
    backend::{
        condition::Condition,
        types::{Audience, KindCounts, Unavailable},
    },
    history::pages::{HistoryPage, Past},
    keeper::{
        inspector::{StreamInspection, Subscription},
        stats::ShardStatus,
    },
    list::parse_shards,
    routing::{address::ShardAddress, nudges::Nudges},
    settings::ShardSettings,
};

use self::{
    audience::{pending_users::PendingUsers, sync::AudienceSync},
    backend::{
        Shard,
        clock::Clock,
        memory::{Embedded, Keep},
        redis::{Link, LinkSettings},
        types::{Events, Post},
    },
    history::shared_reads::SharedReads,
    keeper::{
        driver::{Driver, KeeperParts},
        inspector::Inspector,
        stats::KeeperStats,
    },
    track::Track,
};
use crate::{
    domain::{Accepted, Position, Publication, Publish, PublishError, StreamId},
    hub::Hub,
    readiness::Heartbeat,
    tasks::Tasks,
    telemetry::Sli,
};

/// How long it may take to take leave of the shards.
const LEAVE: Duration = Duration::from_millis(500);

/// The shards, for posting and reading. Cloning shares them.
#[derive(Clone)]
pub struct Shards(Arc<Inner>);

struct Inner {
    nudges: Nudges,
    shards: Box<[ShardMember]>,
    ring_epoch: u64,
    sli: Sli,
    /// The pods of this one's track; held for a look.
    track: Mutex<Track>,
    /// What this pod told the fleet last; held for a copy.
    last_beat: Mutex<Option<Heartbeat>>,
}

/// One shard, as the handle sees it.
struct ShardMember {
    name: String,
    shard: Shard,
    clock: Clock,
    shared_reads: SharedReads,
    pending_users: PendingUsers,
    stats: Arc<KeeperStats>,
    inspector: Inspector,
}

impl Shards {
    /// Starts the links to all shards, or the embedded shard, and their keepers. A shard that cannot be reached is no
    /// error: its streams wait for it, and others do not.
    ///
    /// # Errors
    /// A shard whose address cannot be used on this machine, with its name.
    pub fn start(
        settings: &ShardSettings,
        hub: &Hub,
        nudges: &Nudges,
        tasks: &Tasks,
    ) -> Result<Self, String> {
        let mut shards = Vec::new();
        if settings.list.is_empty() {
            let keep = Keep { comments: settings.history_comments, ttl: settings.history_ttl };
            let (embedded, events) = Embedded::new(keep);
            shards.push(("embedded".to_owned(), Shard::Embedded(embedded), events));
        }
        for address in &settings.list {
            let (link, heard, upkeep) = Link::start(LinkSettings {
                shard: address.name.clone(),
                url: address.url.clone(),
                pod: settings.pod.clone(),
                history_entries: settings.history_comments,
                history_ttl: settings.history_ttl,
            })
            .map_err(|error| format!("the shard {:?}: {error}", address.name))?;
            tasks.core("link", upkeep);
            // The link itself tells what it lost.
            let events = Events::new(heard, Arc::default());
            shards.push((address.name.clone(), Shard::Redis(link), events));
        }
        let keep = |(number, (name, shard, events)): (usize, (String, Shard, Events))| {
            let stats = Arc::new(KeeperStats::new(name.clone()));
            let clock = shard.clock();
            let pending_users = PendingUsers::default();
            let parts = KeeperParts {
                shard: shard.clone(),
                clock: clock.clone(),
                stats: Arc::clone(&stats),
                census: AudienceSync::new(pending_users.clone(), Instant::now()),
            };
            let (inspector, asked) = Inspector::new();
            let driver = Driver::new(parts, hub.clone(), settings);
            tasks.core("keeper", driver.run(events, nudges.of_shard(number), asked));
            ShardMember {
                name,
                shard,
                clock,
                shared_reads: SharedReads::default(),
                pending_users,
                stats,
                inspector,
            }
        };
        let shards = shards.into_iter().enumerate().map(keep).collect();
        #[cfg(feature = "hear-everything")]
        heard::hear(hub)?;
        let (ring_epoch, sli) = (settings.ring_epoch, hub.sli().clone());
        Ok(Self(Arc::new(Inner {
            nudges: nudges.clone(),
            shards,
            ring_epoch,
            sli,
            track: Mutex::default(),
            last_beat: Mutex::default(),
        })))
    }

    fn of(&self, stream: &StreamId) -> &ShardMember {
        // The ring was made of the same list; the embedded shard stands alone.
        &self.0.shards[self.0.nudges.ring().owner(stream)]
    }

    /// What follows a position in the stream's history.
    ///
    /// # Errors
    /// [`Unavailable`] if the shard does not answer.
    pub async fn past(&self, stream: &StreamId, after: &Position) -> Result<Past, Unavailable> {
        let asked = Instant::now();
        let ShardMember { shard, shared_reads, .. } = self.of(stream);
        let past = shared_reads.get(shard, stream, None).await?.past(after);
        if !matches!(past, Past::Elsewhere(_)) {
            return Ok(past);
        }
        // The viewer may have seen what came after that read began.
        Ok(shared_reads.get(shard, stream, Some(asked)).await?.past(after))
    }

    /// A page of history of at most `limit` comments and 31 KiB: the newest, or those after a position.
    ///
    /// # Errors
    /// [`Unavailable`] if the shard does not answer.
    pub async fn page(
        &self,
        stream: &StreamId,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<HistoryPage, Unavailable> {
        let ShardMember { shard, shared_reads, .. } = self.of(stream);
        // Whoever asks after posting sees the post.
        Ok(shared_reads.get(shard, stream, Some(Instant::now())).await?.page(after, limit))
    }

    /// How many comments the stream's history took; zeroes for a stream without one.
    ///
    /// # Errors
    /// [`Unavailable`] if the shard does not answer.
    pub async fn tally(&self, stream: &StreamId) -> Result<KindCounts, Unavailable> {
        Ok(self.of(stream).shard.tally(stream).await?.unwrap_or_default())
    }

    /// How many of them are a Redis; 0 for the embedded one.
    #[must_use]
    pub fn redis_count(&self) -> usize {
        self.0.shards.iter().filter(|member| matches!(member.shard, Shard::Redis(_))).count()
    }

    /// Takes note that a user came to watch a stream.
    pub fn arrived(&self, stream: &StreamId, user: &str) {
        self.of(stream).pending_users.note(stream, &[routing::ring::hash(user.as_bytes())]);
    }

    /// Who watches a stream on other pods, and who watched it at all.
    ///
    /// # Errors
    /// [`Unavailable`] if the shard does not answer.
    pub async fn audience(&self, stream: &StreamId) -> Result<Audience, Unavailable> {
        self.of(stream).shard.audience(stream).await
    }

    /// Takes this pod, which goes away, out of those whose viewers the shards count. One that does not answer in time
    /// finds out by itself.
    pub async fn leave(&self) {
        let counted = self.0.shards.iter().filter(|member| member.stats.counts.load(Relaxed));
        let leave = counted.map(async |ShardMember { shard, .. }| while shard.uncount().await == Ok(true) {});
        let leave = futures_util::future::join(futures_util::future::join_all(leave), self.leave_fleet());
        let _ = timeout(LEAVE, leave).await;
    }

    /// The name of the shard that owns the stream.
    #[must_use]
    pub fn owner(&self, stream: &StreamId) -> &str {
        &self.of(stream).name
    }

    /// What the owner's keeper knows of the stream.
    ///
    /// # Errors
    /// [`Unavailable`] if the keeper has too much to do.
    pub async fn explain(&self, stream: &StreamId) -> Result<StreamInspection, Unavailable> {
        self.of(stream).inspector.ask(stream).await
    }

    /// The state of every shard.
    #[must_use]
    pub fn status(&self) -> Vec<ShardStatus> {
        let status = |member: &ShardMember| {
            let ShardMember { shard, clock, stats, .. } = member;
            stats.status(shard, clock)
        };
        self.0.shards.iter().map(status).collect()
    }
}

impl Shards {
    fn post_of(&self, clock: &Clock, publication: Publication) -> Post {
        let accepted_at_ms = clock.of_shard(publication.comment.accepted_at_ms);
        Post::of(publication, self.0.ring_epoch, accepted_at_ms)
    }
}

impl Publish for Shards {
    async fn publish_all(
        &self,
        stream: &StreamId,
        publications: Vec<Publication>,
    ) -> Vec<Result<Accepted, PublishError>> {
        let ShardMember { shard, clock, .. } = self.of(stream);
        let posts = publications.into_iter().map(|publication| self.post_of(clock, publication)).collect();
        let began = Instant::now();
        let answers = shard.publish_all(stream, posts).await;
        let took = began.elapsed();
        answers.iter().filter(|answer| answer.is_ok()).for_each(|_| self.0.sli.committed(took));
        answers
    }

    async fn publish(&self, stream: &StreamId, publication: Publication) -> Result<Accepted, PublishError> {
        let ShardMember { shard, clock, .. } = self.of(stream);
        let post = self.post_of(clock, publication);
        let began = Instant::now();
        let answer = shard.publish(stream, post).await;
        if answer.is_ok() {
            self.0.sli.committed(began.elapsed());
        }
        answer
    }
}
