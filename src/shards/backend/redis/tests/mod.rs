//! The link against real Redis processes, which are frozen, killed and filled up.

mod audience;
mod costs;
mod faults;
mod fleet;
mod functions;
mod hearing;
mod library_facts;
mod refusals;

use std::time::Duration;

use fred::types::Value;
use testkit::{RedisServer, Relay, eventually};
use tokio::task::JoinHandle;

use super::*;
use crate::{
    domain::{Accepted, Author, Comment, EntryId, IdempotencyKey, Kind, Position, Publication, PublishError},
    readiness::LeaseRequest,
    shards::backend::types::{
        Audience, AudienceCount, ConnectionId, Counted, FormerTimeline, HistorySlice, KindCounts, Post,
        SliceRange,
    },
};

/// What is promised within a second or so is given far more here: a third of what a busy machine may take.
const SOON: Duration = Duration::from_secs(20);

/// A link that is kept up in the background until it is dropped.
struct Kept {
    link: Link,
    events: EventReceiver,
    upkeep: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.upkeep.abort();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "there is no task owner below the app, and this one is a test's"
)]
fn keep(url: String, pod: &str) -> Kept {
    let settings = LinkSettings {
        shard: "a".into(),
        url,
        pod: pod.into(),
        history_entries: 100,
        history_ttl: Duration::from_secs(3600),
    };
    let (link, events, work) = Link::start(settings).unwrap();
    Kept { link, events, upkeep: tokio::task::spawn(work) }
}

impl Kept {
    /// A link to a server, once it is up.
    async fn up(server: &RedisServer) -> Self {
        let kept = keep(server.url(), "pod-1");
        kept.wait_up().await;
        kept
    }

    async fn wait_up(&self) {
        eventually("the link is up", 3 * SOON, || async { self.link.health().up.then_some(()) }).await;
    }

    /// The next event, but for probes that come back.
    async fn event(&mut self) -> Event {
        loop {
            let event = tokio::time::timeout(3 * SOON, self.events.recv()).await.expect("an event in time");
            match event.expect("an event") {
                Event::Probed(_) => {}
                event => return event,
            }
        }
    }

    /// Skips events until the subscribing connection is a new one.
    async fn connected(&mut self) -> ConnectionId {
        loop {
            if let Event::Connected(id) = self.event().await {
                return id;
            }
        }
    }

    /// The next message; other events before it fail the test.
    async fn message(&mut self) -> (StreamId, crate::protocol::Entry) {
        match self.event().await {
            Event::Message { stream, payload } => (stream, crate::protocol::Entry::decode(&payload).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    async fn post(&self, stream: &StreamId, body: &str) -> Accepted {
        self.link.publish(stream, a_post(body)).await.unwrap()
    }

    async fn all(&self, stream: &StreamId) -> HistorySlice {
        let span = SliceRange { after_seq: 0, newest: 1000 };
        self.link.read(stream, span, Epoch::random()).await.unwrap()
    }
}

fn stream(name: &str) -> StreamId {
    name.parse().unwrap()
}

/// A post without an idempotency key.
fn a_post(body: &str) -> Post {
    let comment = Comment {
        id: EntryId::random(),
        kind: Kind::Comment,
        author: Author { id: "u1".into(), name: "Ann".into() },
        body: body.into(),
        data: None,
        accepted_at_ms: 1_700_000_000_000,
    };
    let accepted_at_ms = comment.accepted_at_ms;
    Post::of(Publication { comment, key: None, trace: None }, 1, accepted_at_ms)
}

/// A post with an idempotency key; the digest stands for the content.
fn keyed(owner: &str, id: &str, digest: u64) -> Post {
    Post {
        key: Some(IdempotencyKey { owner: owner.into(), id: id.parse().unwrap(), digest }),
        ..a_post("hi")
    }
}
