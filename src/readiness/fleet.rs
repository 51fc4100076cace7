//! What a pod tells the others of its track, and what they allow it.

use serde::Serialize;

/// Who agrees with the other pods: at most max(1, 30 %) of a track's live pods refuse for their load at once, and none
/// while the others are hot too.
pub trait Fleet: Send + Sync + 'static {
    /// Tells how this pod fares and makes the pod's request, in one step; none if nobody answers.
    fn beat(&self, beat: &Heartbeat) -> impl Future<Output = Option<FleetView>> + Send;
}

/// How a pod fares.
#[derive(Debug, Clone, PartialEq)]
pub struct Heartbeat {
    /// The pod's name, which no other pod of the track has.
    pub pod: String,
    /// Its track.
    pub track: String,
    /// Its load; 1 is all that it may use.
    pub cpu: f64,
    /// From which load on a pod counts as hot.
    pub high: f64,
    /// Its viewers.
    pub viewers: usize,
    /// Whether it takes new ones.
    pub ready: bool,
    /// What it wants.
    pub request: LeaseRequest,
}

/// What a pod wants of its fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseRequest {
    /// Nothing: it takes viewers, and gives back a leave that it had.
    Stay,
    /// To refuse viewers because it is hot, or to go on doing so.
    Leave,
    /// To be forgotten: it goes away.
    Gone,
}

/// The fleet's answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseDecision {
    /// The pod takes viewers.
    Stay,
    /// It may refuse them.
    Leave,
}

/// The pods of one track, as the fleet's shard knows them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FleetView {
    /// How many live, this one included.
    pub pods: usize,
    /// How many of them refuse for their load.
    pub unready: usize,
    /// The mean load of the others that take viewers; none if no other does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others_cpu: Option<f64>,
    /// The mean number of viewers, this pod included.
    pub mean_viewers: f64,
    /// What this pod may do.
    #[serde(skip)]
    pub verdict: LeaseDecision,
}

impl FleetView {
    /// The view of a pod that has no others: its load alone decides.
    #[must_use]
    pub fn alone(beat: &Heartbeat) -> Self {
        let leaves = beat.request == LeaseRequest::Leave;
        Self {
            pods: 1,
            unready: usize::from(leaves),
            others_cpu: None,
            mean_viewers: beat.viewers as f64,
            verdict: if leaves { LeaseDecision::Leave } else { LeaseDecision::Stay },
        }
    }
}
