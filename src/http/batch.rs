//! `/v1/comments`: posting to many streams at once.

use std::collections::HashMap;

use axum::{Json, extract::State, http::StatusCode};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Api, MAX_BATCH_BYTES, Problem,
    auth::{Backend, may_post},
    comments::{Posted, status},
    extract::{JsonText, NoParams, Trace},
    items,
};
use crate::{
    domain::{Accepted, Author, Draft, Kind, Object, Poster, Service, StreamId, read_object},
    protocol::Code,
    telemetry::CallerSpan,
};

/// The most comments in a batch.
const MAX_COMMENTS: usize = 500;

/// A post of a batch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
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
    results: Vec<Outcome>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
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

impl From<Problem> for Outcome {
    fn from(Problem { status, code, detail, .. }: Problem) -> Self {
        Self::Failed { status: status.as_u16(), code, detail }
    }
}

/// Posts up to 500 comments: those of one stream in their order, different streams side by side.
pub(super) async fn post(
    State(api): State<Api>,
    Trace(parent): Trace,
    (Backend(service), NoParams): (Backend, NoParams),
    JsonText(batch): JsonText<MAX_BATCH_BYTES>,
) -> Result<(StatusCode, Json<Results>), Problem> {
    let lines = items::split(&batch).map_err(|error| Problem::bad_json("body", &error))?;
    if lines.len() > MAX_COMMENTS {
        return Err(Problem::unprocessable("a batch has at most 500 comments"));
    }
    let mut results: Vec<Option<Outcome>> = Vec::new();
    let mut streams: HashMap<StreamId, Vec<(usize, Draft)>> = HashMap::new();
    for (place, line) in lines.into_iter().enumerate() {
        let outcome = match read(line) {
            Ok((stream, draft)) => {
                streams.entry(stream).or_default().push((place, draft));
                None
            }
            Err(problem) => Some(problem.into()),
        };
        results.push(outcome);
    }
    let in_order = |drafts| post_in_order(&api, &service, parent.as_ref(), drafts);
    let mut posting: FuturesUnordered<_> = streams.into_iter().map(in_order).collect();
    while let Some(outcomes) = posting.next().await {
        for (place, outcome) in outcomes {
            results[place] = Some(outcome);
        }
    }
    Ok((StatusCode::MULTI_STATUS, Json(Results { results: results.into_iter().flatten().collect() })))
}

/// Reads a post by itself, so that whatever is bad of it is its own.
fn read(line: &[u8]) -> Result<(StreamId, Draft), Problem> {
    let Line { stream, id, kind, author, body, data } =
        read_object(line).map_err(|error| Problem::bad_json("comment", &error))?;
    let stream = stream.parse().map_err(|error| Problem::bad_request(format!("{error}")))?;
    let id = id.map(|id| id.parse()).transpose().map_err(|error| Problem::bad_request(format!("{error}")))?;
    let author = author.map(|Object(author)| author);
    Ok((stream, Draft { id, kind, author, body, data }))
}

async fn post_one(
    api: &Api,
    service: &Service,
    parent: Option<CallerSpan>,
    stream: &StreamId,
    draft: Draft,
) -> Result<Accepted, Problem> {
    may_post(api, service)?;
    Ok(api.0.desk.post_for(parent, Poster::Service(service), stream, draft).await?)
}

async fn post_in_order(
    api: &Api,
    service: &Service,
    parent: Option<&CallerSpan>,
    (stream, drafts): (StreamId, Vec<(usize, Draft)>),
) -> Vec<(usize, Outcome)> {
    let mut outcomes = Vec::with_capacity(drafts.len());
    let mut dead = false;
    for (place, draft) in drafts {
        if dead {
            // One time-out is enough to know; the others were not sent.
            let failed = Problem::from(crate::shards::Unavailable);
            outcomes.push((place, failed.into()));
            continue;
        }
        let outcome = match post_one(api, service, parent.cloned(), &stream, draft).await {
            Ok(accepted) => Outcome::Posted { status: status(&accepted).as_u16(), posted: accepted.into() },
            Err(problem) => {
                dead = problem.code == Code::ShardUnavailable;
                problem.into()
            }
        };
        outcomes.push((place, outcome));
    }
    outcomes
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
