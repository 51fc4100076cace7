//! A drill: viewers watch and posters post while something goes wrong, and the checker has the last word.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use futures_util::{
    StreamExt as _,
    future::{join, join_all},
    stream::FuturesUnordered,
};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::{Ledger, Outcome, Posted, Watch};
use crate::{Join, Pod, pause, try_request};

/// How long a poster repeats a post that nobody answers for, and how long a viewer is content with silence.
const INSISTS: Duration = Duration::from_secs(60);
/// How long it waits before it does.
const AGAIN: Duration = Duration::from_millis(1_500);

/// Who watches and posts what.
pub struct Drill<'a> {
    /// The pods; each stream has viewers on each.
    pub pods: &'a [Pod],
    /// The streams that are watched and posted to.
    pub streams: &'a [String],
    /// How many viewers of each stream each pod has.
    pub viewers: usize,
    /// Over all streams.
    pub posts_per_second: u64,
}

impl Drill<'_> {
    /// Watches and posts until the trouble is over and every viewer has the last comment.
    pub async fn run(&self, trouble: impl Future<Output = ()>) -> Ledger {
        let over = Cell::new(false);
        let trouble = async {
            trouble.await;
            over.set(true);
        };
        let posting = async {
            let mut posts = self.posting(&over).await;
            let last =
                self.streams.iter().enumerate().map(|(n, stream)| self.insist(n, stream, last(stream)));
            posts.extend(join_all(last).await.into_iter().flatten());
            posts
        };
        let places = self.streams.iter().flat_map(|stream| {
            (0..self.pods.len() * self.viewers).map(move |number| self.watching(stream, number))
        });
        let (watches, (posts, ())) = join(join_all(places), join(posting, trouble)).await;
        Ledger { posts, watches, ..Ledger::default() }
    }

    /// One viewer, who goes on at the next pod when it loses its socket.
    async fn watching(&self, stream: &str, number: usize) -> Watch {
        let mut frames: Vec<Value> = Vec::new();
        let mut after: Option<String> = None;
        for turn in number.. {
            let mut join = Join::new(&self.pods[turn % self.pods.len()], stream);
            if let Some(after) = &after {
                join = join.after(after);
            }
            let Some(mut viewer) = join.try_open().await else {
                pause(Duration::from_millis(100)).await;
                continue;
            };
            let is_last =
                |viewer: &crate::Viewer| viewer.seen.last().is_some_and(|seen| seen.body == last(stream));
            while !is_last(&viewer) && viewer.try_read(INSISTS).await.expect("something to read") {}
            let done = is_last(&viewer);
            after = Some(viewer.position.clone());
            frames.extend(viewer.log.into_iter().map(|frame| frame.json));
            if done {
                break;
            }
        }
        Watch::of(stream, &frames)
    }

    async fn posting(&self, over: &Cell<bool>) -> Vec<Posted> {
        let mut pace = interval(Duration::from_micros(1_000_000 / self.posts_per_second));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut number, mut posts, mut under_way) = (0, Vec::new(), FuturesUnordered::new());
        while !over.get() {
            tokio::select! {
                _ = pace.tick() => {
                    let stream = &self.streams[number % self.streams.len()];
                    under_way.push(self.insist(number / self.streams.len(), stream, format!("{stream} {number}")));
                    number += 1;
                }
                Some(attempts) = under_way.next() => posts.extend(attempts),
            }
        }
        while let Some(attempts) = under_way.next().await {
            posts.extend(attempts);
        }
        posts
    }

    /// Posts a text again and again, at one pod after the other, until there is an answer.
    async fn insist(&self, number: usize, stream: &str, body: String) -> Vec<Posted> {
        let (begun, mut attempts) = (Instant::now(), Vec::new());
        for turn in number.. {
            let attempt = attempt(&self.pods[turn % self.pods.len()], stream, &body).await;
            let is_answered = attempt.outcome != Outcome::Unknown;
            attempts.push(attempt);
            if is_answered || begun.elapsed() > INSISTS {
                break;
            }
            pause(AGAIN).await;
        }
        attempts
    }
}

fn last(stream: &str) -> String {
    format!("{stream} is over")
}

/// Posts once; the text is its own idempotency id.
async fn attempt(pod: &Pod, stream: &str, body: &str) -> Posted {
    let sent = Instant::now();
    let key = body.replace(' ', "-");
    let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
    let text = json!({"kind": "comment", "body": body}).to_string();
    let path = format!("/v1/streams/{stream}/comments");
    let answer = try_request(pod.public, "POST", &path, &headers, text.as_bytes()).await;
    let outcome = match answer {
        Some(answer) if matches!(answer.status, 200 | 201) => {
            let told = answer.json();
            let id = told["id"].as_str().unwrap().to_owned();
            Outcome::Acked { id, seq: told["seq"].as_u64().unwrap(), duplicate: answer.status == 200 }
        }
        Some(answer) => {
            answer.assert_problem(503, "shard_unavailable");
            Outcome::Unknown
        }
        None => Outcome::Unknown,
    };
    Posted { stream: stream.to_owned(), body: body.to_owned(), sent, answered: Instant::now(), outcome }
}
