//! `/v1/streams/{stream}`: what is known of a stream.

use axum::{Json, extract::State};
use serde::Serialize;

use super::{
    Api, Problem,
    auth::Backend,
    extract::{NoParams, StreamPath},
};
use crate::shards::KindCounts;

/// A stream's attributes, over all pods.
#[derive(Debug, Serialize)]
pub(super) struct Attributes {
    viewers: u64,
    peak_viewers: u64,
    unique_viewers: u64,
    comments: u64,
    comments_by_kind: KindCounts,
    shard: String,
}

/// Shows a stream: who watches and watched it, and how many comments its history took.
pub(super) async fn show(
    State(api): State<Api>,
    backend: Backend,
    (StreamPath(stream), NoParams): (StreamPath, NoParams),
) -> Result<Json<Attributes>, Problem> {
    backend.may_see(&stream)?;
    let (shards, hub) = (&api.0.shards, &api.0.hub);
    let (comments_by_kind, audience) = tokio::try_join!(shards.tally(&stream), shards.audience(&stream))?;
    // Those here are known at this moment; the shard counts them every two seconds.
    let viewers_here = hub.viewers_here(&stream);
    Ok(Json(Attributes {
        viewers: audience.elsewhere + viewers_here,
        // The viewers of other pods may include those of a pod that crashed: only the shard can confirm them.
        peak_viewers: audience.peak.max(viewers_here),
        unique_viewers: audience.users,
        comments: comments_by_kind.total(),
        comments_by_kind,
        shard: shards.owner(&stream).to_owned(),
    }))
}
