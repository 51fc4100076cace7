//! What comes from the viewer: frames, read by tungstenite, as messages or reasons to close.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::ProtocolError,
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
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
pub(super) struct Reader<'a> {
    frames: WebSocketStream<Adapter<'a>>,
}

impl<'a> Reader<'a> {
    pub(super) async fn new(wire: &'a Wire, seat: &'a Seat, early: Bytes) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_CLIENT_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_CLIENT_MESSAGE_BYTES));
        let adapter = Adapter { wire, seat, early };
        Self { frames: WebSocketStream::from_raw_socket(adapter, Role::Server, Some(config)).await }
    }

    /// The next thing that comes. Nothing is lost if the future is dropped before it is ready.
    pub(super) async fn next(&mut self) -> Incoming {
        match self.frames.next().await {
            Some(Ok(Message::Text(text))) => Incoming::Text(text),
            Some(Ok(Message::Binary(_))) => Incoming::Broke(Close::BinaryMessage),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Incoming::Sign,
            Some(Ok(Message::Close(_))) => {
                // The next read only queues the answer.
                let _ = self.frames.next().await;
                Incoming::Bye
            }
            Some(Err(error)) => of_error(&error),
            None => Incoming::Gone,
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
    /// What came with the handshake.
    early: Bytes,
}

impl AsyncRead for Adapter<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let some = self.early.len().min(into.remaining());
            into.put_slice(&self.early[..some]);
            self.early.advance(some);
            self.wire.hear();
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.wire.socket().poll_read_ready(cx))?;
            match self.wire.socket().try_read(into.initialize_unfilled()) {
                Ok(count) => {
                    into.advance(count);
                    self.wire.hear();
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// Bounded: one message is read at a time, it makes at most one pong or close, and none is read while the viewer's own
/// frames fill their room.
impl AsyncWrite for Adapter<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.seat.push_bytes(Bytes::copy_from_slice(bytes));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
