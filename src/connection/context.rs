//! The parts of the pod that viewers' tasks use.

use crate::{
    domain::Posting, hub::Hub, identity::Identity, limits::Limits, release::Release, shards::Shards,
    telemetry::Sli,
};

/// The parts of the pod that viewers' tasks use.
pub struct Context {
    /// Fan-out.
    pub hub: Hub,
    /// Where posts go.
    pub posting: Posting<Shards>,
    /// Where history comes from.
    pub shards: Shards,
    /// How often viewers may do what they do.
    pub limits: Limits,
    /// Knows the tokens.
    pub identity: Identity,
    /// Says when a viewer should go.
    pub release: Release,
    /// Counts.
    pub sli: Sli,
    /// The pod's name.
    pub pod: String,
    /// The pod's track.
    pub track: String,
    /// How long a viewer that was asked to go may stay, in milliseconds.
    pub leave_within_ms: u64,
}
