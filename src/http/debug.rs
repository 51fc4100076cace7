//! `/debug/streams/{stream}`: one stream of this pod, explained.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use tokio::time::{Duration, timeout};

use super::{Ops, Problem};
use crate::{
    domain::StreamId,
    hub::{Activity, Explained, SeatsView, TapeView},
    shards::Subscription,
};

/// How long the lanes may take to count their seats.
const COUNTING: Duration = Duration::from_secs(2);

/// A stream on this pod. Times are in milliseconds; what is not known is null.
#[derive(Debug, Serialize)]
pub(super) struct Explanation {
    stream: String,
    shard: String,
    subscription: Subscription,
    /// Until the subscription ends, if nobody comes.
    lingers_ms: Option<u64>,
    /// The place after the newest entry that the pod knows.
    position: Option<String>,
    /// Since the shard last said something of the stream.
    spoke_ago_ms: Option<u64>,
    viewers: usize,
    seats: Option<Seats>,
    tape: Option<TapeStatus>,
    last_minute: LastMinute,
}

#[derive(Debug, Serialize)]
struct Seats {
    /// Not seated yet: they wait for the stream to open, or read its history.
    joining: usize,
    /// They keep up.
    prompt: usize,
    /// Their sockets are full, or they have not caught up yet.
    lagging: usize,
    closing: usize,
    furthest_behind_frames: u64,
    longest_full_ms: u64,
}

#[derive(Debug, Serialize)]
struct TapeStatus {
    frames: usize,
    bytes: usize,
    from: String,
    to: String,
    newest_ago_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
struct LastMinute {
    delivered: u64,
    late: u64,
    skipped: u64,
}

/// Explains a stream; 404 if this pod does not know it.
pub(super) async fn explain(
    State(ops): State<Ops>,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<Json<Explanation>, Problem> {
    let Path(stream) = path.map_err(|_| Problem::bad_request("the stream in the path is not UTF-8"))?;
    let stream: StreamId = stream.parse().map_err(|error| Problem::bad_request(format!("{error}")))?;
    let unknown = || Problem::not_found("nobody watches this stream on this pod, and nobody did lately");
    let Explained { viewers, tape, lately } = ops.hub.explain(&stream).ok_or_else(unknown)?;
    // A lane that hangs is no reason to say nothing.
    let seats = timeout(COUNTING, ops.hub.seats(&stream)).await.ok().flatten();
    let hearing = ops.shards.explain(&stream).await?;
    let Activity { delivered, late, skipped } = lately;
    Ok(Json(Explanation {
        shard: ops.shards.owner(&stream).to_owned(),
        subscription: hearing.subscription,
        lingers_ms: hearing.lingers.map(ms),
        position: hearing.head.map(|head| head.to_string()),
        spoke_ago_ms: hearing.spoke_ago.map(ms),
        viewers,
        seats: seats.map(|seats| Seats::of(seats, viewers)),
        tape: tape.map(TapeStatus::of),
        last_minute: LastMinute { delivered, late, skipped },
        stream: stream.to_string(),
    }))
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Seats {
    fn of(view: SeatsView, viewers: usize) -> Self {
        let SeatsView { prompt, lagging, closing, furthest_behind, longest_full } = view;
        Self {
            joining: viewers.saturating_sub(prompt + lagging + closing),
            prompt,
            lagging,
            closing,
            furthest_behind_frames: furthest_behind,
            longest_full_ms: ms(longest_full),
        }
    }
}

impl TapeStatus {
    fn of(view: TapeView) -> Self {
        Self {
            frames: view.frames,
            bytes: view.bytes,
            from: view.floor.to_string(),
            to: view.head.to_string(),
            newest_ago_ms: view.newest_ago.map(ms),
        }
    }
}
