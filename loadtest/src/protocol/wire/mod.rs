//! A WebSocket client's codec (RFC 6455), free of sockets: the opening handshake, the frames that a client
//! sends, and an incremental reader of the frames that a server sends.
//!
//! It is written apart from the server's on purpose: two readings of the protocol test each other.

mod frame;
mod handshake;

pub(crate) use frame::{Inbox, Message, WireError, push_close, push_pong, push_text};
pub(crate) use handshake::{HandshakeError, Key, head_length, request, status, verify};

pub use handshake::accept_key;
