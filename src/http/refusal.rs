//! The answer to a handshake that the pod refuses for now: 503, or for a share of them the WebSocket itself.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, http::Response};
use tokio::sync::Semaphore;

use super::{
    Problem,
    handover::{Handover, handed_over},
};
use crate::{
    connection::Connections,
    readiness::{Capacity, Refused},
    tasks::Tasks,
};

/// The refusals on the WebSocket that are under way. Cloning shares it.
#[derive(Debug, Clone)]
pub struct SocketRefusals(Arc<Semaphore>);

/// A refused handshake.
pub(super) struct RefusedHandshake {
    /// The reason, and the time to wait.
    pub(super) refused: Refused,
    /// The connection or stream, once the answer is written.
    pub(super) handover: Handover,
    /// The answer that opens the WebSocket.
    pub(super) answer: Response<Body>,
}

impl SocketRefusals {
    /// Allows as many at once as in a second, and at most a quarter of the connections that are no viewers.
    #[must_use]
    pub fn new(capacity: &Capacity) -> Self {
        let per_second = usize::try_from(capacity.socket_refusals_per_second).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(per_second.min(capacity.connections / 4).min(Semaphore::MAX_PERMITS))))
    }

    /// Answers a refused handshake.
    ///
    /// # Errors
    /// The 503, if the answer does not go over the WebSocket.
    pub(super) fn answer(
        &self,
        handshake: RefusedHandshake,
        connections: Connections,
        tasks: &Tasks,
    ) -> Result<Response<Body>, Problem> {
        let RefusedHandshake { refused, handover, answer } = handshake;
        let permit = refused.on_socket.then(|| Arc::clone(&self.0).try_acquire_owned().ok()).flatten();
        let Some(permit) = permit else { return Err(refused.into()) };
        let wait = Duration::from_secs(refused.retry_after_s);
        // Among the connections, not among the viewers.
        tasks.request(async move {
            let _permit = permit;
            if let Some((stream, early)) = handed_over(handover).await {
                connections.refuse(stream, early, wait).await;
            }
        });
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_on_the_socket_at_once_are_bounded() {
        for (socket_refusals_per_second, connections, at_once) in
            [(0, 128, 0), (10, 128, 10), (1_000, 128, 32), (1_000, usize::MAX, 1_000)]
        {
            let capacity = Capacity { socket_refusals_per_second, connections, ..Capacity::default() };
            assert_eq!(SocketRefusals::new(&capacity).0.available_permits(), at_once);
        }
    }
}
