//! `/v1/streams/{stream}/comments`: posting one comment, and pages of history.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Api, Problem,
    auth::Caller,
    extract::{IdempotencyHeader, JsonBody, MAX_BODY_BYTES, NoParams, Params, StreamPath, Trace},
};
use crate::{
    domain::{Accepted, Author, Draft, Epoch, Kind, Object, Position, PostId},
    limits::PostCharge,
    shards::HistoryPage,
};

/// The most comments in a page of history.
const MAX_PAGE: usize = 200;
/// The `after` of a page that begins with the oldest comment.
const START: &str = "start";
/// How many comments a page has unless the request says otherwise.
const DEFAULT_PAGE: usize = 50;

/// What a backend posts. A field that is not known is refused: it is a slip of the pen, whose content would be lost.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    kind: Kind,
    author: Option<Object<Author>>,
    body: Option<String>,
    data: Option<Map<String, Value>>,
}

impl Body {
    pub(super) fn draft(self, id: Option<PostId>) -> Draft {
        let Self { kind, author, body, data } = self;
        Draft { id, kind, author: author.map(|Object(author)| author), body, data }
    }
}

/// The answer to a post.
#[derive(Debug, Serialize)]
pub(super) struct Posted {
    id: String,
    seq: u64,
    duplicate: bool,
}

impl From<Accepted> for Posted {
    fn from(Accepted { id, seq, duplicate }: Accepted) -> Self {
        Self { id: id.to_string(), seq, duplicate }
    }
}

/// The status of a post that was accepted.
pub(super) const fn status(accepted: &Accepted) -> StatusCode {
    if accepted.duplicate { StatusCode::OK } else { StatusCode::CREATED }
}

/// Posts one comment; returns when it is in the stream's history.
pub(super) async fn post(
    State(api): State<Api>,
    caller: Caller,
    (StreamPath(stream), NoParams): (StreamPath, NoParams),
    (Trace(parent), IdempotencyHeader(id)): (Trace, IdempotencyHeader),
    JsonBody(body): JsonBody<Body, MAX_BODY_BYTES>,
) -> Result<Response, Problem> {
    caller.may_post(&api, &stream)?;
    let answer = api.0.posting.post_for(parent, caller.poster(), &stream, body.draft(id)).await;
    caller.settle(&api, &stream, PostCharge::of(&answer));
    let accepted = answer?;
    Ok((status(&accepted), Json(Posted::from(accepted))).into_response())
}

/// Which page of history.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    after: Option<String>,
    limit: Option<usize>,
}

/// A page of history: the newest comments, or those after a position.
pub(super) async fn history(
    State(api): State<Api>,
    caller: Caller,
    StreamPath(stream): StreamPath,
    Params(which): Params<Which>,
) -> Result<Response, Problem> {
    caller.may_read(&stream)?;
    let limit = which.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_request("limit must be 1 to 200"));
    }
    let after = which.after.as_deref().map_or(Ok(None), place)?;
    let page = api.0.shards.page(&stream, after.as_ref(), limit).await?;
    Ok(json(&page).into_response())
}

/// Reads `after`: nothing, a position, or the word for the oldest comment.
fn place(after: &str) -> Result<Option<Position>, Problem> {
    match after {
        "" => Ok(None),
        // No history has this position, so that it is read from its oldest comment on.
        START => Ok(Some(Position::start_of(Epoch::random()))),
        _ => after.parse().map(Some).map_err(|_| {
            Problem::bad_request("after must be a position that a page or frame had, or start, or absent")
        }),
    }
}

fn json(page: &HistoryPage) -> impl IntoResponse + use<> {
    let HistoryPage { comments, position, more, resumed } = page;
    let resumed = resumed.name();
    // The comments are JSON already, and are not taken apart to be put together again.
    let body =
        format!(r#"{{"comments":[{comments}],"position":"{position}","more":{more},"resumed":"{resumed}"}}"#);
    ([(header::CONTENT_TYPE, "application/json")], body)
}
