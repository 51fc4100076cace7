//! One viewer's socket, from its 101 to its close.
//!
//! tungstenite reads. The seat writes: the lane does it for a viewer that keeps up, this task for one that joins, lags
//! or is being closed. What tungstenite itself wants to write goes through the seat as well, between the stream's frames.
//! Behind TLS each write costs an encryption of its own: there the lane tells this task, and this task writes. A viewer
//! over HTTP/2 has a stream of a connection instead of a socket: its writes are deferred as well.
//!
//! A refused handshake that is answered on the WebSocket has neither a seat nor a viewer's task.

mod arrival;
mod catchup;
mod closing;
mod context;
mod expiry;
mod frame_counter;
mod keepalive;
mod reader;
mod refusal;
mod request;
mod session;
mod viewer_stream;
mod wire;

use std::sync::Arc;

use crate::telemetry::Sli;

use self::wire::Wire;

pub use context::Context;
pub use reader::accept_key;
#[cfg(feature = "fuzzing")]
pub use reader::fuzz_frames;
pub use request::{After, Request};
pub use viewer_stream::ViewerStream;

/// What every viewer's task needs. Cloning shares it.
#[derive(Clone)]
pub struct Connections(Arc<Context>);

impl Connections {
    /// Shares what viewers' tasks need.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self(Arc::new(context))
    }

    /// What serves one viewer until its socket is closed; none if it is gone already. `early` is what the viewer sent
    /// right behind its handshake.
    pub fn serve(
        self,
        stream: ViewerStream,
        mut early: Vec<u8>,
        request: Box<Request>,
    ) -> Option<impl Future<Output = ()> + Send> {
        // Outside of the future, which would hold on to the place of each of its arguments.
        let wire = Wire::new(stream)
            .map(Arc::new)
            .inspect_err(|error| tracing::debug!(%error, "a socket was gone before it was served"))
            .ok()?;
        Some(async move {
            let _watch = PanicWatch(&self.0.sli);
            session::serve(&self.0, &wire, &mut early, &request).await;
        })
    }
}

/// Counts a viewer's task that panics; its socket goes with it, and the pod goes on.
struct PanicWatch<'a>(&'a Sli);

impl Drop for PanicWatch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.panicked();
        }
    }
}

#[cfg(test)]
mod tests;
