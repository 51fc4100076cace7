//! What time alone does, on the embedded shard and a paused clock.

use std::{
    io::{self, IoSlice},
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;

use crate::{
    domain::{Author, Comment, EntryId, Kind, Position, Publication, Publish as _, StreamId},
    hub::{Fanout, Hub, Outlet, Seat},
    shards::{Nudges, ShardSettings, Shards},
    tasks::Tasks,
    telemetry::Sli,
};

/// A socket that takes everything.
struct Sink;

impl Outlet for Sink {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

struct Rig {
    hub: Hub,
    shards: Shards,
    stream: StreamId,
}

const TTL: Duration = Duration::from_secs(60);

impl Rig {
    fn new() -> Self {
        let tasks = Tasks::default();
        let nudges = Nudges::new(&[]);
        let (hub, lanes) = Hub::new(Fanout::new(1, Duration::ZERO), nudges.clone(), Sli::default());
        lanes.into_iter().for_each(|lane| tasks.core("lane", lane.run()));
        let settings = ShardSettings {
            list: Vec::new(),
            ring_epoch: 1,
            pod: "test".into(),
            history_comments: 500,
            history_ttl: TTL,
            linger: Duration::from_secs(10),
        };
        let shards = Shards::start(&settings, &hub, &nudges, &tasks).unwrap();
        Self { hub, shards, stream: "s".parse().unwrap() }
    }

    async fn viewer(&self) -> Seat {
        let seat = self.hub.sit(&self.stream, Arc::new(Sink));
        seat.opened().await;
        seat.enter(seat.opening().unwrap().end);
        let _ = seat.drain(tokio::time::Instant::now());
        seat
    }

    async fn post(&self) -> u64 {
        let author = Author { id: "u".into(), name: "u".into() };
        let comment = Comment {
            id: EntryId::random(),
            kind: Kind::Comment,
            author,
            body: "hi".into(),
            data: None,
            accepted_at_ms: 0,
        };
        self.shards.publish(&self.stream, Publication { comment, key: None, trace: None }).await.unwrap().seq
    }

    async fn head(&self) -> Position {
        self.shards.page(&self.stream, None, 1).await.unwrap().position
    }
}

#[tokio::test(start_paused = true)]
async fn a_watched_stream_keeps_its_history_however_long_it_is_silent() {
    let rig = Rig::new();
    let viewer = rig.viewer().await;
    rig.post().await;
    let head = rig.head().await;
    sleep(TTL * 20).await;
    assert_eq!(rig.head().await, head);
    assert_eq!(viewer.head(), Some(head));
}

#[tokio::test(start_paused = true)]
async fn an_unwatched_streams_history_ends_with_its_time() {
    let rig = Rig::new();
    drop(rig.viewer().await);
    rig.post().await;
    let head = rig.head().await;
    sleep(TTL * 3).await;
    assert_ne!(rig.head().await.epoch, head.epoch);
}

/// G3: more messages at once than can wait for the keeper; the last ones are lost and nothing follows them.
#[tokio::test(start_paused = true)]
async fn g3_lost_last_messages_are_found() {
    let rig = Rig::new();
    let viewer = rig.viewer().await;
    let mut last = 0;
    for _ in 0..20_000 {
        // The embedded shard never waits, so the keeper does not run meanwhile.
        last = rig.post().await;
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(viewer.head().map(|head| head.seq), Some(last));
    let status = &rig.shards.status()[0];
    assert_eq!((status.overruns, status.gaps), (1, 1), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_outlives_its_last_viewer_by_the_linger_and_no_more() {
    let rig = Rig::new();
    drop(rig.viewer().await);
    sleep(Duration::from_secs(9)).await;
    assert_eq!((rig.shards.status()[0].subscriptions, rig.hub.totals().streams), (1, 1));
    let viewer = rig.viewer().await;
    sleep(Duration::from_secs(1)).await;
    drop(viewer);
    sleep(Duration::from_secs(9)).await;
    assert_eq!((rig.shards.status()[0].subscriptions, rig.shards.status()[0].linger_hits), (1, 1));
    sleep(Duration::from_secs(3)).await;
    assert_eq!((rig.shards.status()[0].subscriptions, rig.hub.totals().streams), (0, 0));
}
