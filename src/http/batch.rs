//! `/v1/comments`: posting to many streams at once.

use std::{collections::HashMap, iter::Peekable, time::Duration, vec::IntoIter};

use axum::{Extension, Json, extract::State, http::StatusCode};
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use super::{
    Api, Deadline, Problem,
    auth::{Backend, may_post},
    comments::{Posted, status},
    extract::{JsonText, MAX_BATCH_BYTES, NoParams, Trace},
    items,
};
use crate::{
    domain::{Accepted, Author, Draft, Kind, Object, Poster, Refusal, Service, StreamId, read_object},
    limits::PostCharge,
    protocol::Code,
    shards::Unavailable,
    telemetry::CallerSpan,
};

/// The most comments in a batch.
const MAX_COMMENTS: usize = 500;
/// The most posts of one stream in a call of its shard: a way of 20 ms is gone ten times for 500, and the shard does
/// nothing else for about a millisecond.
const CALL_POSTS: usize = 50;
/// The most bytes of several posts in a call, so that a narrow path carries it well within the time of a call.
const CALL_BYTES: usize = 32 * 1024;
/// How many streams are posted to at once.
const SIDE_BY_SIDE: usize = 64;
/// The time that the last call is given before the deadline.
const CALL_TIME: Duration = Duration::from_secs(2);
/// The time that the answer is given before the deadline.
const ANSWER_TIME: Duration = Duration::from_millis(250);

/// A post of a batch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchLine {
    stream: String,
    id: Option<String>,
    kind: Kind,
    author: Option<Object<Author>>,
    body: Option<String>,
    data: Option<Map<String, Value>>,
}

/// One result a post, in the order of the posts.
#[derive(Debug, Serialize)]
pub(super) struct Results {
    results: Vec<BatchOutcome>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum BatchOutcome {
    Posted {
        status: u16,
        #[serde(flatten)]
        posted: Posted,
    },
    Failed {
        status: u16,
        code: Code,
        detail: String,
    },
}

impl From<Accepted> for BatchOutcome {
    fn from(accepted: Accepted) -> Self {
        Self::Posted { status: status(&accepted).as_u16(), posted: accepted.into() }
    }
}

impl From<Problem> for BatchOutcome {
    fn from(Problem { status, code, detail, .. }: Problem) -> Self {
        Self::Failed { status: status.as_u16(), code, detail }
    }
}

/// Posts up to 500 comments: those of one stream in their order, different streams side by side.
pub(super) async fn post(
    (State(api), Extension(Deadline(deadline))): (State<Api>, Extension<Deadline>),
    Trace(parent): Trace,
    (Backend(service), NoParams): (Backend, NoParams),
    JsonText(batch): JsonText<MAX_BATCH_BYTES>,
) -> Result<(StatusCode, Json<Results>), Problem> {
    let lines = items::split(&batch).map_err(|error| Problem::bad_json("body", &error))?;
    if lines.len() > MAX_COMMENTS {
        return Err(Problem::unprocessable("a batch has at most 500 comments"));
    }
    let mut outcomes: Vec<Option<BatchOutcome>> = Vec::new();
    let mut streams: HashMap<StreamId, Vec<Queued>> = HashMap::new();
    for (place, line) in lines.into_iter().enumerate() {
        let outcome = match read(line) {
            Ok((stream, draft)) => {
                let queued = Queued { place, bytes: line.len(), draft };
                streams.entry(stream).or_default().push(queued);
                None
            }
            Err(problem) => Some(problem.into()),
        };
        outcomes.push(outcome);
    }
    let posting = BatchPosting {
        api: &api,
        service: &service,
        parent,
        outcomes: Mutex::new(outcomes),
        last_call: deadline - CALL_TIME,
    };
    let all = stream::iter(streams)
        .for_each_concurrent(SIDE_BY_SIDE, |(stream, queue)| posting.post_in_order(stream, queue));
    // What is known when the time is over is answered; the client repeats the rest.
    let _ = timeout_at(deadline - ANSWER_TIME, all).await;
    let unknown =
        |outcome: Option<BatchOutcome>| outcome.unwrap_or_else(|| Problem::from(Unavailable).into());
    let results = posting.outcomes.into_inner().into_iter().map(unknown).collect();
    Ok((StatusCode::MULTI_STATUS, Json(Results { results })))
}

/// A post that waits for its turn.
struct Queued {
    /// Its place in the batch.
    place: usize,
    /// Its size in the batch.
    bytes: usize,
    draft: Draft,
}

/// A batch that is being posted.
struct BatchPosting<'a> {
    api: &'a Api,
    service: &'a Service,
    parent: Option<CallerSpan>,
    /// Filled as the shards answer.
    outcomes: Mutex<Vec<Option<BatchOutcome>>>,
    /// When the last call of a shard may begin.
    last_call: Instant,
}

impl BatchPosting<'_> {
    /// Posts to one stream, some posts a call, until a call is not answered or the time is over.
    async fn post_in_order(&self, stream: StreamId, queue: Vec<Queued>) {
        let mut queue = queue.into_iter().peekable();
        while queue.peek().is_some() && Instant::now() < self.last_call {
            let (places, drafts) = self.next_call(&mut queue);
            let (posting, poster) = (&self.api.0.posting, Poster::Service(self.service));
            let answers = posting.post_all(self.parent.as_ref(), poster, &stream, drafts).await;
            // One call without an answer is enough to know; what was behind it is not sent.
            let is_dead = answers.contains(&Err(Refusal::ShardUnavailable));
            let mut outcomes = self.outcomes.lock();
            for (place, answer) in places.into_iter().zip(answers) {
                self.api.0.limits.settle_of_service(&self.service.name, PostCharge::of(&answer));
                outcomes[place] =
                    Some(answer.map_or_else(|refusal| Problem::from(refusal).into(), BatchOutcome::from));
            }
            if is_dead {
                return;
            }
        }
    }

    /// Takes the posts of the next call from the queue; those that the limits refuse are answered here.
    fn next_call(&self, queue: &mut Peekable<IntoIter<Queued>>) -> (Vec<usize>, Vec<Draft>) {
        let (mut places, mut drafts, mut bytes) = (Vec::new(), Vec::new(), 0);
        let fits = |count: usize, bytes: usize| count < CALL_POSTS && bytes <= CALL_BYTES;
        while let Some(next) =
            queue.next_if(|next| drafts.is_empty() || fits(drafts.len(), bytes + next.bytes))
        {
            match may_post(self.api, self.service) {
                Ok(()) => {
                    bytes += next.bytes;
                    places.push(next.place);
                    drafts.push(next.draft);
                }
                Err(problem) => self.outcomes.lock()[next.place] = Some(problem.into()),
            }
        }
        (places, drafts)
    }
}

/// Reads a post by itself, so that whatever is bad of it is its own.
fn read(line: &[u8]) -> Result<(StreamId, Draft), Problem> {
    let BatchLine { stream, id, kind, author, body, data } =
        read_object(line).map_err(|error| Problem::bad_json("comment", &error))?;
    let stream = stream.parse().map_err(|error| Problem::bad_request(format!("{error}")))?;
    let id = id.map(|id| id.parse()).transpose().map_err(|error| Problem::bad_request(format!("{error}")))?;
    let author = author.map(|Object(author)| author);
    Ok((stream, Draft { id, kind, author, body, data }))
}

/// Reads a body as a post's and as a batch's, and accepts or refuses what is in it.
#[cfg(feature = "fuzzing")]
pub fn fuzz_bodies(bytes: &[u8]) {
    use crate::domain::{Poster, Service, fuzz_accept};

    let service = Service::open();
    let accept = |draft: Draft| fuzz_accept(Poster::Service(&service), draft);
    if let Ok(body) = read_object::<super::comments::Body>(bytes) {
        let _ = accept(body.draft(None));
    }
    if let Ok(lines) = items::split(bytes) {
        for line in lines.into_iter().take(MAX_COMMENTS) {
            if let Ok((_, draft)) = read(line) {
                let _ = accept(draft);
            }
        }
    }
}
