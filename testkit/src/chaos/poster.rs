//! Posters: they repeat what nobody answers, at the next pod.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use super::field::Field;
use crate::{
    Answer,
    checker::{Outcome, Posted},
    pause, try_request,
};

/// How long an answer is waited for; a pod's own bound is 1.5 s.
const ANSWER: Duration = Duration::from_secs(5);
/// How soon a post is repeated.
const AGAIN: Duration = Duration::from_millis(500);
/// The most posts that wait for their answers, so that a machine that cannot keep up is not given ever more to do.
const UNDER_WAY: usize = 600;
/// How long it is repeated.
const INSISTS: Duration = Duration::from_secs(60);
/// Of so many posts one is a gift.
const GIFTS: usize = 10;

/// The text after which a stream is over.
pub(super) fn last_of(stream: &str) -> String {
    format!("{stream} is over")
}

/// A text that shows, where it is seen, that everything before it was.
fn marker(stream: &str, number: u32) -> String {
    format!("{stream} marker {number}")
}

/// The number of a marker.
pub(super) fn marker_of(body: &str) -> Option<u32> {
    body.split_once(" marker ")?.1.parse().ok()
}

/// Who posts to some streams.
#[derive(Clone)]
pub(super) struct Poster {
    pub(super) field: Arc<Field>,
    pub(super) streams: Arc<Vec<String>>,
}

impl Poster {
    /// Posts at this pace, to the streams in turn, until it is over and everything has its answer.
    pub(super) async fn run(self, posts_per_second: u64, over: watch::Receiver<bool>) -> Vec<Posted> {
        let mut pace = interval(Duration::from_micros(1_000_000 / posts_per_second));
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut under_way, mut posts, mut number) = (JoinSet::new(), Vec::new(), 0);
        while !*over.borrow() {
            pace.tick().await;
            if under_way.len() >= UNDER_WAY {
                posts.extend(under_way.join_next().await.into_iter().flat_map(Result::unwrap));
                continue;
            }
            let (poster, stream) = (self.clone(), self.streams[number % self.streams.len()].clone());
            under_way.spawn(async move {
                let kind = if number.is_multiple_of(GIFTS) { "gift" } else { "comment" };
                poster.insist(&stream, kind, &format!("{stream} {number}")).await
            });
            number += 1;
            while let Some(attempts) = under_way.try_join_next() {
                posts.extend(attempts.unwrap());
            }
        }
        posts.extend(under_way.join_all().await.into_iter().flatten());
        posts
    }

    /// Posts a marker to every stream, as a gift: these are not skipped.
    pub(super) async fn mark(&self, number: u32) -> Vec<Posted> {
        self.everywhere(|stream| marker(stream, number)).await
    }

    /// Posts to every stream that it is over.
    pub(super) async fn end(&self) -> Vec<Posted> {
        self.everywhere(last_of).await
    }

    async fn everywhere(&self, text: impl Fn(&str) -> String) -> Vec<Posted> {
        let mut under_way = JoinSet::new();
        for stream in self.streams.iter() {
            let (poster, stream, body) = (self.clone(), stream.clone(), text(stream));
            under_way.spawn(async move { poster.insist(&stream, "gift", &body).await });
        }
        under_way.join_all().await.into_iter().flatten().collect()
    }

    /// Posts a text, at one pod after the other, until there is an answer.
    async fn insist(&self, stream: &str, kind: &str, body: &str) -> Vec<Posted> {
        let (begun, mut attempts) = (Instant::now(), Vec::new());
        for turn in body.len() + body.bytes().map(usize::from).sum::<usize>().. {
            let attempt = self.attempt(turn % self.field.places.len(), stream, (kind, body)).await;
            let is_answered = attempt.is_acked();
            attempts.push(attempt);
            if is_answered || begun.elapsed() > INSISTS {
                break;
            }
            pause(AGAIN).await;
        }
        attempts
    }

    /// Posts once; the text is its own idempotency id.
    async fn attempt(&self, place: usize, stream: &str, (kind, body): (&str, &str)) -> Posted {
        let (sent, key) = (Instant::now(), body.replace(' ', "-"));
        let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
        let (path, text) = (
            format!("/v1/streams/{stream}/comments"),
            json!({"kind": kind, "body": body, "data": {}}).to_string(),
        );
        let asked = try_request(self.field.address(place), "POST", &path, &headers, text.as_bytes());
        let outcome =
            timeout(ANSWER, asked).await.ok().flatten().as_ref().map_or(Outcome::Unknown, outcome_of);
        Posted { stream: stream.to_owned(), body: body.to_owned(), sent, answered: Instant::now(), outcome }
    }
}

fn outcome_of(answer: &Answer) -> Outcome {
    if !matches!(answer.status, 200 | 201) {
        assert_eq!(answer.status, 503, "{answer:?}");
        return Outcome::Unknown;
    }
    let told = answer.json();
    let id = told["id"].as_str().unwrap().to_owned();
    Outcome::Acked { id, seq: told["seq"].as_u64().unwrap(), duplicate: answer.status == 200 }
}
