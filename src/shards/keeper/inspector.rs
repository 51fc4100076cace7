//! What people ask keepers about a stream.

use std::time::Duration;

use serde::Serialize;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    domain::{Position, StreamId},
    shards::backend::types::Unavailable,
};

/// How many may wait for their answers; further ones are refused.
const QUESTIONS: usize = 16;
/// How long a keeper may take for an answer: it waits for nothing, so longer means that it is in trouble.
const ANSWER: Duration = Duration::from_secs(1);

/// Whether this pod hears of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subscription {
    /// Nobody watches, and nobody did lately.
    None,
    /// Somebody watches, and the shard has not confirmed the subscription yet, or lost it.
    Wanted,
    /// The shard confirmed it, and somebody watches.
    Granted,
    /// The shard confirmed it, and it outlives the last viewer for a while.
    Lingering,
}

/// A stream, as its keeper knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamInspection {
    /// Whether the pod hears of it.
    pub subscription: Subscription,
    /// How long it lingers still.
    pub lingers: Option<Duration>,
    /// The place after the newest entry; none until it is known.
    pub head: Option<Position>,
    /// How long ago the shard last said something on its channel; none if it did not yet.
    pub spoke_ago: Option<Duration>,
}

/// A stream, and where the answer goes.
pub(in crate::shards) struct InspectionRequest {
    pub(in crate::shards) stream: StreamId,
    pub(in crate::shards) answer: oneshot::Sender<StreamInspection>,
}

/// Where a keeper is asked. Cloning shares it.
#[derive(Debug, Clone)]
pub(in crate::shards) struct Inspector(mpsc::Sender<InspectionRequest>);

impl Inspector {
    pub(in crate::shards) fn new() -> (Self, mpsc::Receiver<InspectionRequest>) {
        let (inspector, asked) = mpsc::channel(QUESTIONS);
        (Self(inspector), asked)
    }

    /// Asks; refused if too many wait, or the keeper does not answer.
    pub(in crate::shards) async fn ask(&self, stream: &StreamId) -> Result<StreamInspection, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let question = InspectionRequest { stream: stream.clone(), answer };
        self.0.try_send(question).map_err(|_| Unavailable)?;
        timeout(ANSWER, answered).await.ok().and_then(Result::ok).ok_or(Unavailable)
    }
}
