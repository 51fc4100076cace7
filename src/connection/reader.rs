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

use super::{
    frame_counter::{FrameCounter, TooManyFragments},
    wire::Wire,
};
use crate::{
    hub::Seat,
    limits::{Buckets, Limits, PostCharge, RateKeys, TooOften},
    protocol::{Close, MAX_CLIENT_MESSAGE_BYTES},
};

/// What tungstenite keeps for each socket. Comments are short; a longer message grows the buffer while it is read.
const READ_BUFFER_BYTES: usize = 128;

/// How many reads a viewer has before others have their turn: 2 KiB.
const READS: u32 = 16;

/// The answer to a handshake's `Sec-WebSocket-Key` (RFC 6455 section 4.2.2).
#[must_use]
pub fn accept_key(key: &[u8]) -> String {
    derive_accept_key(key)
}

/// Something that came from the viewer.
pub(super) enum Incoming {
    /// A text message.
    Text(Utf8Bytes),
    /// A pong, and the number of the ping that it repeats; none if it repeats none.
    Pong(Option<u32>),
    /// A ping; it is answered already.
    Control,
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
pub(super) struct FrameReader<'a> {
    frames: WebSocket<Adapter<'a>>,
    /// Set after an error: tungstenite must not be read again.
    is_broken: bool,
}

/// What a viewer may do, and with whom it is counted.
#[derive(Clone, Copy)]
pub(super) struct Allowance<'a> {
    pub(super) limits: &'a Limits,
    pub(super) keys: &'a RateKeys,
}

impl<'a> FrameReader<'a> {
    /// `early` is what came with the handshake.
    pub(super) fn new(wire: &'a Wire, seat: &'a Seat, early: Vec<u8>, allowance: Allowance<'a>) -> Self {
        if !early.is_empty() {
            wire.hear();
        }
        let (frame_counter, buckets) = (FrameCounter::default(), Buckets::default());
        let mut adapter = Adapter { wire, seat, allowance, frame_counter, buckets, floods: false, reads: 0 };
        adapter.count(&early);
        let frames = WebSocket::from_partially_read(adapter, early, Role::Server, Some(config()));
        Self { frames, is_broken: false }
    }

    /// Whether the viewer may post now.
    pub(super) fn may_post(&mut self) -> Result<(), TooOften> {
        let Adapter { allowance: Allowance { limits, keys }, buckets, .. } = self.frames.get_mut();
        limits.post(keys, Some(buckets))
    }

    /// Gives back what an answered post does not count for.
    pub(super) fn settle(&mut self, charge: PostCharge) {
        let Adapter { allowance: Allowance { limits, keys }, buckets, .. } = self.frames.get_mut();
        limits.settle(keys, Some(buckets), charge);
    }

    /// The next thing that comes. Nothing is lost if the future is dropped before it is ready.
    pub(super) fn next(&mut self) -> impl Future<Output = Incoming> + use<'_, 'a> {
        poll_fn(|cx| self.poll_next(cx))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        loop {
            // Reading by itself takes nothing of the task's budget: who floods would keep the worker to itself.
            ready!(pin!(consume_budget()).poll(cx));
            self.frames.get_mut().reads = 0;
            if self.is_broken {
                return Poll::Ready(Incoming::Broke(Close::ProtocolError));
            }
            if self.frames.get_ref().floods {
                return Poll::Ready(Incoming::Broke(Close::Flood));
            }
            let incoming = match self.frames.read() {
                Ok(Message::Text(text)) => Incoming::Text(text),
                Ok(Message::Binary(_)) => Incoming::Broke(Close::BinaryMessage),
                Ok(Message::Pong(payload)) => {
                    Incoming::Pong(payload[..].try_into().ok().map(u32::from_be_bytes))
                }
                Ok(Message::Ping(_) | Message::Frame(_)) => Incoming::Control,
                Ok(Message::Close(_)) => {
                    // Nothing of the stream follows the answer, which the next read only queues.
                    self.frames.get_ref().seat.end_stream();
                    let _ = self.frames.read();
                    Incoming::Bye
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    let Adapter { wire, reads, floods, .. } = self.frames.get_ref();
                    // Until the socket itself says that there is nothing, there may be more.
                    if *floods || *reads > READS {
                        continue;
                    }
                    match ready!(wire.poll_read_ready(cx)) {
                        Ok(()) => continue,
                        Err(_) => Incoming::Gone,
                    }
                }
                Err(error) => {
                    self.is_broken = true;
                    of_error(&error)
                }
            };
            return Poll::Ready(incoming);
        }
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_CLIENT_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_CLIENT_MESSAGE_BYTES))
}

/// Reads bytes that come in pieces of a size, as a viewer's socket would; each text goes on to be decoded.
#[cfg(feature = "fuzzing")]
pub fn fuzz_frames(bytes: &[u8], piece: usize) {
    /// Gives a piece at each read and takes whatever is written.
    struct Pieces<'a>(std::slice::Chunks<'a, u8>, &'a [u8]);

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.1.is_empty() {
                self.1 = self.0.next().unwrap_or_default();
            }
            self.1.read(into)
        }
    }

    impl Write for Pieces<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let pieces = Pieces(bytes.chunks(piece.max(1)), &[]);
    let mut frames = WebSocket::from_raw_socket(pieces, Role::Server, Some(config()));
    let mut messages = 0;
    let broke = loop {
        match frames.read() {
            Ok(message) => {
                messages += 1;
                if let Message::Text(text) = message {
                    assert!(text.len() <= MAX_CLIENT_MESSAGE_BYTES);
                    let _ = crate::protocol::ClientFrame::decode(&text);
                }
            }
            Err(error) => break of_error(&error),
        }
    };
    let frame_counter: Result<Vec<u32>, _> = {
        let mut frame_counter = FrameCounter::default();
        bytes.chunks(piece.max(1)).map(|piece| frame_counter.see(piece)).collect()
    };
    // What tungstenite understood was counted.
    let counted = frame_counter.map_or(u32::MAX, |counts| counts.iter().sum());
    assert!(counted >= messages, "{counted} of {messages}");
    drop(broke);
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
    allowance: Allowance<'a>,
    frame_counter: FrameCounter,
    buckets: Buckets,
    /// Whether it sent more frames than it may: nothing more is read.
    floods: bool,
    /// How many reads there were in this turn.
    reads: u32,
}

impl Adapter<'_> {
    fn count(&mut self, bytes: &[u8]) {
        let Allowance { limits, keys } = self.allowance;
        self.floods |= match self.frame_counter.see(bytes) {
            Ok(0) => false,
            Ok(frames) => limits.frames(keys, &mut self.buckets, frames).is_err(),
            Err(TooManyFragments) => true,
        };
    }
}

impl Read for Adapter<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.floods || self.reads > READS {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.wire.try_read(into)?;
        self.wire.hear();
        self.count(&into[..count]);
        if self.floods { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
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
