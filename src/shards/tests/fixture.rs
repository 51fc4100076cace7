//! A pod without doors: hub, shards and one Redis.

use std::{io, sync::Arc, time::Duration};

use testkit::{RedisServer, eventually};

use crate::{
    domain::{Author, Comment, EntryId, Kind, Publication, Publish as _, StreamId},
    hub::{Fanout, Hub, Outlet, Seat},
    shards::{Nudges, ShardSettings, ShardStatus, Shards, parse_shards},
    tasks::Tasks,
    telemetry::Sli,
};

/// How long anything may take that has no bound of its own.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Takes everything.
struct Nowhere;

impl Outlet for Nowhere {
    fn try_write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

pub(super) struct Fixture {
    pub(super) redis: RedisServer,
    pub(super) hub: Hub,
    pub(super) shards: Shards,
    tasks: Tasks,
}

impl Fixture {
    pub(super) async fn open(linger: Duration) -> Self {
        let redis = RedisServer::start();
        let addresses = parse_shards(&format!("a={}", redis.url())).unwrap();
        let (tasks, nudges) = (Tasks::default(), Nudges::new(&addresses));
        let (hub, lanes) = Hub::new(Fanout::new(1, Duration::ZERO), nudges.clone(), Sli::default());
        lanes.into_iter().for_each(|lane| tasks.core("lane", lane.run()));
        let settings = ShardSettings {
            list: addresses,
            ring_epoch: 1,
            pod: "pod-1".into(),
            history_comments: 500,
            history_ttl: Duration::from_secs(3600),
            linger,
        };
        let shards = Shards::start(&settings, &hub, &nudges, &tasks).unwrap();
        let fixture = Self { redis, hub, shards, tasks };
        eventually("the shard is up", PATIENCE, async || fixture.status().up.then_some(())).await;
        fixture
    }

    pub(super) fn status(&self) -> ShardStatus {
        self.shards.status().remove(0)
    }

    pub(super) fn sit(&self, stream: &StreamId) -> Seat {
        self.hub.sit(stream, Arc::new(Nowhere))
    }

    /// Posts, and again until it is taken.
    pub(super) async fn post(&self, stream: &StreamId) {
        let comment = Comment {
            id: EntryId::random(),
            kind: Kind::Comment,
            author: Author { id: "u1".into(), name: "Ann".into() },
            body: "hi".into(),
            data: None,
            accepted_at_ms: 0,
        };
        eventually("a post", PATIENCE, async || {
            self.shards
                .publish(stream, Publication { comment: comment.clone(), key: None, trace: None })
                .await
                .ok()
        })
        .await;
    }

    /// How many channels of streams somebody hears.
    pub(super) fn channels(&self) -> usize {
        let channels = self.redis.cli(&["PUBSUB", "CHANNELS", "ff:{*"]);
        channels.lines().filter(|line| !line.is_empty()).count()
    }

    /// Waits until exactly so many channels are heard, and the pod knows it.
    pub(super) async fn hears(&self, streams: usize) {
        eventually(&format!("{streams} channels"), PATIENCE, async || {
            let known = self.status().subscriptions == streams as u64;
            (known && self.channels() == streams).then_some(())
        })
        .await;
    }

    /// Waits until the seat has everything that its stream's history holds.
    pub(super) async fn has_everything(&self, stream: &StreamId, seat: &Seat) {
        eventually(&format!("all of {stream}"), PATIENCE, async || {
            let head = seat.head()?;
            let page = self.shards.page(stream, None, 1).await.ok()?;
            (page.position == head).then_some(())
        })
        .await;
    }

    pub(super) async fn close(self) {
        self.tasks.stop().await;
    }
}
