//! What goes over the wires: client frames, server frames, the envelope between pods, close reasons and error codes.
//!
//! Bytes come in here once and are typed from then on; a server frame is encoded here once and is bytes from then on.

mod client;
mod close;
mod code;
mod envelope;
mod frame;
mod page;
mod server;
#[cfg(test)]
mod tests;

pub use client::{BadFrame, ClientFrame, Secret};
pub use close::{Advice, Close};
pub use code::Code;
pub use envelope::{BadEnvelope, ENVELOPE_VERSION, Entry, Fragment};
pub use frame::SharedFrame;
pub use page::{HISTORY_PAGE_BYTES, Page};
pub use server::{
    Hello, LiveComment, ReconnectReason, ReconnectWait, Resumed, comment, error, expiring, gap, hello, ping,
    pong, posted, reconnect, refused, reset, skipped, viewers,
};

/// The WebSocket subprotocol of this version of the protocol.
pub const SUBPROTOCOL: &str = "fanfare.v1";
/// The largest message that a viewer may send, in bytes, in one frame or in fragments.
pub const MAX_CLIENT_MESSAGE_BYTES: usize = 16 * 1024;
