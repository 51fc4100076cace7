//! The stages in which a listener ends.

use tokio_util::sync::CancellationToken;

/// The stages in which a listener ends. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    announced: CancellationToken,
    refused: CancellationToken,
    closed: CancellationToken,
}

impl Ending {
    /// From now on each answer is the last one of its connection, and says so.
    pub fn announce(&self) {
        self.announced.cancel();
    }

    /// From now on no connection is accepted.
    pub fn refuse(&self) {
        self.announce();
        self.refused.cancel();
    }

    /// From now on connections without a request are closed.
    pub fn close(&self) {
        self.refuse();
        self.closed.cancel();
    }

    /// Returns whether each answer is the last one of its connection.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        self.announced.is_cancelled()
    }

    /// Returns once no connection is accepted any more.
    pub async fn refused(&self) {
        self.refused.cancelled().await;
    }

    /// Returns once connections without a request are to be closed.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }
}
