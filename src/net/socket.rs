//! A connection, plain or private, as HTTP reads and writes it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::steady::SteadyStream;

/// The name of HTTP/2 in a TLS handshake (RFC 9113 section 3.2).
pub(super) const HTTP2: &[u8] = b"h2";

/// A connection to a client.
#[derive(Debug)]
pub enum Socket {
    /// As it came.
    Plain(SteadyStream),
    /// Behind TLS.
    Private(Box<TlsStream<SteadyStream>>),
}

impl Socket {
    /// A connection without TLS.
    #[must_use]
    pub const fn plain(socket: TcpStream) -> Self {
        Self::Plain(SteadyStream::new(socket))
    }

    /// Prepares for the streams of an HTTP/2 connection, each of which has deadlines of its own.
    pub fn carry_streams(&mut self) {
        match self {
            Self::Plain(socket) => socket.carry_streams(),
            Self::Private(stream) => stream.get_mut().0.carry_streams(),
        }
    }

    /// Returns whether the client chose HTTP/2 in the TLS handshake.
    #[must_use]
    pub fn speaks_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Private(stream) => stream.get_ref().1.alpn_protocol() == Some(HTTP2),
        }
    }
}

/// Calls a method of whichever stream it is.
macro_rules! either {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket.get_mut() {
            Socket::Plain(socket) => {
                let $stream = Pin::new(socket);
                $call
            }
            Socket::Private(socket) => {
                let $stream = Pin::new(&mut **socket);
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, into))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}
