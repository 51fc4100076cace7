//! The connection that a handshake leaves to a viewer, of whichever version of HTTP.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::{Socket, Tunnel};

/// The way to a viewer.
#[derive(Debug)]
pub enum ViewerStream {
    /// A connection of its own.
    Socket(Socket),
    /// A stream of an HTTP/2 connection.
    Tunnel(Box<Tunnel>),
}

impl ViewerStream {
    /// Has the client open its next socket over another connection: one that it shares leads to this pod.
    pub(super) fn retire(&self) {
        if let Self::Tunnel(tunnel) = self {
            tunnel.retire();
        }
    }
}

impl AsyncRead for ViewerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Socket(socket) => Pin::new(socket).poll_read(cx, into),
            Self::Tunnel(tunnel) => Pin::new(&mut **tunnel).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for ViewerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Socket(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tunnel(tunnel) => Pin::new(&mut **tunnel).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Socket(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tunnel(tunnel) => Pin::new(&mut **tunnel).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Socket(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tunnel(tunnel) => Pin::new(&mut **tunnel).poll_shutdown(cx),
        }
    }
}
