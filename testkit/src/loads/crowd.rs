//! Viewers that move as good clients do, and posters, until somebody says that it is over; the checker reads all of it.

use std::{
    cell::Cell,
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{
    Join, Refusal, Viewer,
    checker::{Ledger, Outcome, Posted, Watch},
    pause, try_request,
};

/// How soon a viewer tries again where nobody told it when.
const AGAIN: Duration = Duration::from_millis(200);
/// A viewer that was refused waits less than it is told, so that tests are short.
const SHORTER: u32 = 10;

/// Viewers and a poster of one stream.
pub struct Crowd<'a> {
    /// The stream.
    pub stream: &'a str,
    /// Viewers of it.
    pub viewers: usize,
    /// Posts a second.
    pub posts_per_second: u64,
}

/// What one viewer did, over all its sockets.
#[derive(Debug, Default)]
pub struct Journey {
    /// The pods it was on, in order; one for each socket.
    pub pods: Vec<String>,
    /// Why it was asked to move, each time.
    pub asked: Vec<String>,
    /// Sockets that ended without its being asked before.
    pub cuts: usize,
    /// Handshakes that were refused.
    pub refusals: Vec<Refusal>,
    frames: Vec<Value>,
}

impl Crowd<'_> {
    /// Watches at this address and posts at that one until `trouble` is over and every viewer has the last comment.
    /// `first` is where the viewers come for the first time.
    pub async fn run(
        &self,
        first: SocketAddr,
        then: SocketAddr,
        trouble: impl Future<Output = ()>,
    ) -> (Ledger, Vec<Journey>) {
        let over = Cell::new(false);
        let trouble = async {
            trouble.await;
            over.set(true);
        };
        let watching = join_all((0..self.viewers).map(|_| self.watch(first, then)));
        let (mut journeys, (posts, ())) = join(watching, join(self.post(then, &over), trouble)).await;
        let watches =
            journeys.iter_mut().map(|journey| Watch::of(self.stream, &std::mem::take(&mut journey.frames)));
        (Ledger { posts, watches: watches.collect(), ..Ledger::default() }, journeys)
    }

    async fn watch(&self, first: SocketAddr, then: SocketAddr) -> Journey {
        let mut journey = Journey::default();
        let mut viewer = journey.open(&Join::at(first, self.stream)).await;
        loop {
            let (asked, is_open) = (viewer.all("reconnect").count(), viewer.read().await);
            if viewer.seen.last().is_some_and(|seen| seen.body == self.last()) {
                break;
            }
            let is_asked = viewer.all("reconnect").count() > asked;
            if is_asked {
                let reason = viewer.all("reconnect").last().unwrap()["reason"].as_str().unwrap().to_owned();
                journey.asked.push(reason);
            } else if !is_open && !viewer.has("reconnect") {
                journey.cuts += 1;
            }
            if is_asked || !is_open {
                viewer = journey.move_on(viewer, &Join::at(then, self.stream)).await;
            }
        }
        journey.keep(viewer);
        journey
    }

    fn last(&self) -> String {
        format!("{} is over", self.stream)
    }

    async fn post(&self, at: SocketAddr, over: &Cell<bool>) -> Vec<Posted> {
        let mut pace = interval(Duration::from_micros(1_000_000 / self.posts_per_second));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut posts = Vec::new();
        for number in 0.. {
            pace.tick().await;
            let is_last = over.get();
            let body = if is_last { self.last() } else { format!("{} {number}", self.stream) };
            posts.extend(self.insist(at, &body).await);
            if is_last {
                break;
            }
        }
        posts
    }

    /// Posts a text until there is an answer; the text is its own idempotency id.
    async fn insist(&self, at: SocketAddr, body: &str) -> Vec<Posted> {
        let mut posts = Vec::new();
        let path = format!("/v1/streams/{}/comments", self.stream);
        let key = body.replace(' ', "-");
        let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
        let text = json!({"kind": "comment", "body": body}).to_string();
        for _ in 0..100 {
            let sent = Instant::now();
            let answer = try_request(at, "POST", &path, &headers, text.as_bytes()).await;
            let accepted = answer.filter(|answer| matches!(answer.status, 200 | 201));
            let outcome = accepted.map_or(Outcome::Unknown, |answer| Outcome::Acked {
                id: answer.json()["id"].as_str().unwrap().to_owned(),
                seq: answer.json()["seq"].as_u64().unwrap(),
                duplicate: answer.status == 200,
            });
            let is_acked = outcome != Outcome::Unknown;
            let (stream, body) = (self.stream.to_owned(), body.to_owned());
            posts.push(Posted { stream, body, sent, answered: Instant::now(), outcome });
            if is_acked {
                break;
            }
            pause(AGAIN).await;
        }
        posts
    }
}

impl Journey {
    /// Opens a socket, however often that is refused.
    async fn open(&mut self, join: &Join) -> Viewer {
        loop {
            if let Some(viewer) = self.attempt(join).await {
                return viewer;
            }
        }
    }

    async fn attempt(&mut self, join: &Join) -> Option<Viewer> {
        match join.attempt().await {
            Ok(mut viewer) => {
                // A pod may cut the socket before its `hello`.
                while !viewer.has("hello") && viewer.read().await {}
                if viewer.has("hello") {
                    self.pods.push(viewer.hello()["pod"].as_str().unwrap().to_owned());
                    return Some(viewer);
                }
            }
            Err(Some(refusal)) => {
                let wait = refusal.retry_after_s.map_or(AGAIN, Duration::from_secs) / SHORTER;
                self.refusals.push(refusal);
                pause(wait).await;
                return None;
            }
            Err(None) => {}
        }
        pause(AGAIN).await;
        None
    }

    /// Opens the new socket first, with the position, and then closes the old one.
    async fn move_on(&mut self, mut old: Viewer, join: &Join) -> Viewer {
        loop {
            if let Some(new) = self.attempt(&join.clone().after(&old.position)).await {
                self.keep(old);
                return new;
            }
            // Until there is a new one, the old one goes on as long as it can.
            let _ = timeout(AGAIN, async { while old.read().await {} }).await;
        }
    }

    fn keep(&mut self, viewer: Viewer) {
        self.frames.extend(viewer.log.into_iter().map(|frame| frame.json));
    }
}
