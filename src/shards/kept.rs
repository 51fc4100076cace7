//! One stream, as its keeper knows it.

use tokio::time::Instant;

use super::chain::Chain;

/// What the keeper knows of a stream.
#[derive(Default)]
pub(super) struct Kept {
    /// Tells it from an earlier stream of the name, of which a read may be under way still.
    pub(super) life: u64,
    pub(super) chain: Chain,
    pub(super) spoke: Option<Instant>,
    /// Whether it stands in `audits`.
    pub(super) audited: bool,
    /// Whether it stands in `to_compare`.
    pub(super) doubted: bool,
    pub(super) told_viewers: u64,
    /// Whether it is known how many watch on other pods.
    pub(super) knows_elsewhere: bool,
}
