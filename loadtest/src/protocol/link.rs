//! A socket that is read through a buffer of the thread's own, so that a waiting viewer holds none.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::Stream;

const READ_BYTES: usize = 64 * 1024;

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// One connection; what is to be sent waits in `out` and goes out beside the reading.
pub(crate) struct Link {
    stream: Stream,
    pub(crate) out: Vec<u8>,
    /// The most that is read at once.
    at_once: usize,
}

impl Link {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, out: Vec::new(), at_once: READ_BYTES }
    }

    /// Reads at most so many bytes at once.
    pub(crate) fn reading_slowly(self, bytes: usize) -> Self {
        Self { at_once: bytes.clamp(1, READ_BYTES), ..self }
    }

    /// Writes what waits and reads once; `None` at the end of the stream. Safe to cancel: nothing is lost.
    pub(crate) async fn turn<R>(&mut self, mut on: impl FnMut(&[u8]) -> R) -> io::Result<Option<R>> {
        std::future::poll_fn(|cx| self.poll_turn(cx, &mut on)).await
    }

    fn poll_turn<R>(
        &mut self,
        cx: &mut Context<'_>,
        on: &mut impl FnMut(&[u8]) -> R,
    ) -> Poll<io::Result<Option<R>>> {
        while !self.out.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.out) {
                Poll::Ready(written) => drop(self.out.drain(..written?)),
                Poll::Pending => break,
            }
        }
        // TLS keeps what the socket did not take, and answers of its own.
        if let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(cx) {
            flushed?;
        }
        READ.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(&mut buffer[..self.at_once]);
            // A short read also tells tokio that the socket is empty: no second read to hear it.
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            let bytes = buffer.filled();
            Poll::Ready(Ok(if bytes.is_empty() { None } else { Some(on(bytes)) }))
        })
    }

    /// Sends as much of what waits as goes at once, before the socket is dropped.
    pub(crate) fn part(mut self) {
        // The connection is given up either way.
        let _ = self.stream.send_last(&self.out);
    }
}
