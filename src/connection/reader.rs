//! What comes from the viewer: frames, read by tungstenite, as messages or reasons to close.

use std::{
    future::poll_fn,
    io::{self, Read, Write},
    pin::pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::task::coop::consume_budget;
use tokio_tungstenite::tungstenite::{
    Error, Message, Utf8Bytes, WebSocket,
    error::ProtocolError,
    handshake::derive_accept_key,
    protocol::{Role, WebSocketConfig},
};

use super::wire::Wire;
use crate::{
    hub::Seat,
    protocol::{Close, MAX_CLIENT_MESSAGE_BYTES},
};

/// What tungstenite keeps for each socket. Comments are short; a longer message grows the buffer while it is read.
const READ_BUFFER_BYTES: usize = 128;

/// The answer to a handshake's `Sec-WebSocket-Key` (RFC 6455 section 4.2.2).
#[must_use]
pub fn accept_key(key: &[u8]) -> String {
    derive_accept_key(key)
}

/// Something that came from the viewer.
pub(super) enum Incoming {
    /// A text message.
    Text(Utf8Bytes),
    /// A ping or pong; it is answered already.
    Sign,
    /// The viewer closes; the answer is queued.
    Bye,
    /// The connection is gone.
    Gone,
    /// The viewer broke a rule.
    Broke(Close),
}

/// The reading side of a viewer's socket.
///
/// tungstenite itself, without a layer that makes a stream of it: such a layer holds several hundred bytes for each
/// viewer.
pub(super) struct Reader<'a> {
    frames: WebSocket<Adapter<'a>>,
}

impl<'a> Reader<'a> {
    /// `early` is what came with the handshake.
    pub(super) fn new(wire: &'a Wire, seat: &'a Seat, early: Vec<u8>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_CLIENT_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_CLIENT_MESSAGE_BYTES));
        if !early.is_empty() {
            wire.hear();
        }
        let adapter = Adapter { wire, seat };
        Self { frames: WebSocket::from_partially_read(adapter, early, Role::Server, Some(config)) }
    }

    /// The next thing that comes. Nothing is lost if the future is dropped before it is ready.
    pub(super) fn next(&mut self) -> impl Future<Output = Incoming> + use<'_, 'a> {
        poll_fn(|cx| self.poll_next(cx))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        // Reading by itself takes nothing of the task's budget: who floods would keep the worker to itself.
        ready!(pin!(consume_budget()).poll(cx));
        loop {
            let incoming = match self.frames.read() {
                Ok(Message::Text(text)) => Incoming::Text(text),
                Ok(Message::Binary(_)) => Incoming::Broke(Close::BinaryMessage),
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Incoming::Sign,
                Ok(Message::Close(_)) => {
                    // The next read only queues the answer.
                    let _ = self.frames.read();
                    Incoming::Bye
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    match ready!(self.frames.get_ref().wire.socket().poll_read_ready(cx)) {
                        Ok(()) => continue,
                        Err(_) => Incoming::Gone,
                    }
                }
                Err(error) => of_error(&error),
            };
            return Poll::Ready(incoming);
        }
    }
}

/// tungstenite leaves the close codes of errors to the application.
fn of_error(error: &Error) -> Incoming {
    match error {
        Error::Capacity(_) => Incoming::Broke(Close::MessageTooBig),
        Error::Utf8(_) => Incoming::Broke(Close::InvalidUtf8),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Io(_)
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Incoming::Gone,
        _ => Incoming::Broke(Close::ProtocolError),
    }
}

/// Lets tungstenite read from the socket, and write into the seat.
struct Adapter<'a> {
    wire: &'a Wire,
    seat: &'a Seat,
}

impl Read for Adapter<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.wire.socket().try_read(into)?;
        self.wire.hear();
        Ok(count)
    }
}

/// Bounded: one message is read at a time, it makes at most one pong or close, and none is read while the viewer's own
/// frames fill their room.
impl Write for Adapter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.seat.push_bytes(Bytes::copy_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
