//! `/v1/streams/{stream}`: what is known of a stream.

use axum::{Json, extract::State};
use serde::Serialize;

use super::{Api, Problem, auth::Backend, extract::Stream};
use crate::shards::Tally;

/// A stream's attributes.
#[derive(Debug, Serialize)]
pub(super) struct Attributes {
    viewers: u64,
    comments: u64,
    comments_by_kind: Tally,
    shard: String,
}

/// Shows a stream: its viewers on this pod, and how many comments its history took.
pub(super) async fn show(
    State(api): State<Api>,
    backend: Backend,
    Stream(stream): Stream,
) -> Result<Json<Attributes>, Problem> {
    backend.may_see(&stream)?;
    let comments_by_kind = api.0.shards.tally(&stream).await?;
    Ok(Json(Attributes {
        viewers: api.0.hub.viewers(&stream),
        comments: comments_by_kind.total(),
        comments_by_kind,
        shard: api.0.shards.owner(&stream).to_owned(),
    }))
}
