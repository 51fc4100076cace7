//! The posters: each repeats its post until there is an answer.

use rand::RngExt as _;

use super::{
    parts::{Attempt, LAST_BODY, SimulatedPost},
    world::{Happening, SimulatedWorld},
};
use crate::{
    domain::{Author, Comment, EntryId, IdempotencyKey, Kind, PostId, Publication},
    shards::backend::types::Post,
};

/// How long a post may take, in milliseconds.
const POST_MS: u64 = 1_500;
/// How long a poster waits before it repeats a post, in milliseconds.
const AGAIN_MS: u64 = 500;

impl SimulatedWorld {
    pub(super) fn post(&mut self, stream: usize, pod: usize) {
        self.posting.bodies += 1;
        let body = format!("p{}", self.posting.bodies);
        self.attempt(stream, pod, body);
    }

    pub(super) fn post_last(&mut self) {
        if !self.everything_is_answered() {
            // Nothing follows the last comment.
            self.after(AGAIN_MS, Happening::PostLast);
            return;
        }
        self.ending.is_last_posted = true;
        (0..self.net.streams.len()).for_each(|stream| self.attempt(stream, 0, LAST_BODY.to_owned()));
        if self.ending.cuts_last {
            self.cut_all();
        }
    }

    fn attempt(&mut self, stream: usize, pod: usize, body: String) {
        self.numbers += 1;
        let attempt = Attempt { number: self.numbers, stream, pod, body };
        self.posting.waiting.insert(attempt.number, self.time());
        let shard = self.shard_of(stream);
        let is_lost = self.net.links[pod][shard].loses_until > self.now_ms && self.random.random_bool(0.25);
        if !is_lost {
            let delay = self.delay(shard);
            self.after(delay, Happening::PostArrives(attempt.clone()));
        }
        self.after(POST_MS, Happening::PostTimesOut(attempt));
    }

    pub(super) fn post_arrives(&mut self, attempt: Attempt) {
        let shard = self.shard_of(attempt.stream);
        let server = &mut self.net.servers[shard];
        let refuses = !server.is_up || server.refuses_until > self.now_ms;
        let mut acked = None;
        if !refuses {
            let stream = self.net.streams[attempt.stream].clone();
            let (answer, sent) = server.publish(&stream, post(&attempt, self.pods[attempt.pod].ahead_ms));
            acked = answer.ok().map(|accepted| (accepted.id.to_string(), accepted.seq, accepted.duplicate));
            if let Some(payload) = sent {
                self.broadcast(&stream, shard, &payload);
            }
        }
        let loses = self.net.links[attempt.pod][shard].loses_until > self.now_ms;
        if !(loses && self.random.random_bool(0.3)) {
            let (delay, process) = (self.delay(shard), self.net.servers[shard].process);
            self.after(delay, Happening::PostAnswered { attempt, process, acked });
        }
    }

    pub(super) fn post_answered(
        &mut self,
        attempt: Attempt,
        process: u64,
        acked: Option<(String, u64, bool)>,
    ) {
        let is_gone = self.net.servers[self.shard_of(attempt.stream)].process != process;
        self.post_ends(attempt, acked.filter(|_| !is_gone));
    }

    pub(super) fn post_ends(&mut self, attempt: Attempt, acked: Option<(String, u64, bool)>) {
        let Some(sent) = self.posting.waiting.remove(&attempt.number) else { return };
        let Attempt { stream, pod, body, .. } = attempt;
        let is_acked = acked.is_some();
        let (name, answered) = (self.net.streams[stream].to_string(), self.time());
        self.posting.posts.push(SimulatedPost { stream: name, body: body.clone(), sent, answered, acked });
        if !is_acked {
            self.posting.repeating += 1;
            let pod = (pod + 1) % self.pods.len();
            self.numbers += 1;
            let again = Attempt { number: self.numbers, stream, pod, body };
            self.after(AGAIN_MS, Happening::PostAgain(again));
        }
    }

    pub(super) fn post_again(&mut self, attempt: Attempt) {
        self.posting.repeating -= 1;
        self.attempt(attempt.stream, attempt.pod, attempt.body);
    }
}

fn post(attempt: &Attempt, ahead_ms: i64) -> Post {
    let Attempt { body, .. } = attempt;
    let comment = Comment {
        id: EntryId::random(),
        kind: Kind::Comment,
        author: Author { id: "u".into(), name: "u".into() },
        body: body.clone(),
        data: None,
        accepted_at_ms: 1_700_000_000_000_u64.saturating_add_signed(ahead_ms),
    };
    let key: Option<PostId> = body.parse().ok();
    let key = key.map(|id| IdempotencyKey { owner: "u".into(), id, digest: 0 });
    let accepted_at_ms = comment.accepted_at_ms;
    Post::of(Publication { comment, key, trace: None }, 1, accepted_at_ms)
}
