//! A viewer's stream of an HTTP/2 connection (RFC 8441), as its task reads and writes it.

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf as _, Bytes};
use h2::{Reason, RecvStream, SendStream};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes of a stream that may wait for its connection to send them; for [`h2::server::Builder`] too. A viewer that
/// reads nothing is noticed after so many and those of its own window.
pub(super) const STREAM_BUFFER_BYTES: usize = 16 * 1024;

/// The connection that carries a viewer's stream; dropping it tells that the viewer has left.
pub trait Carriage: Send + Sync {
    /// Has the client open its next streams on another connection.
    fn retire(&self);
}

/// Both directions of the stream. Only the viewer's task uses it: the hub defers its writes. A refusal reads and writes it
/// as a whole.
pub struct Tunnel {
    /// Guards the write side; held for one write, never over an await.
    send: Mutex<SendStream<Bytes>>,
    /// Guards the read side; held for one read, never over an await.
    inflow: Mutex<Inflow>,
    carriage: Box<dyn Carriage>,
}

/// The read side.
struct Inflow {
    stream: RecvStream,
    /// The rest of a DATA frame.
    unread: Bytes,
    has_ended: bool,
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tunnel")
    }
}

impl Tunnel {
    /// Makes one of a stream whose CONNECT was answered with 200.
    #[must_use]
    pub fn new(send: SendStream<Bytes>, stream: RecvStream, carriage: Box<dyn Carriage>) -> Box<Self> {
        let inflow = Inflow { stream, unread: Bytes::new(), has_ended: false };
        Box::new(Self { send: Mutex::new(send), inflow: Mutex::new(inflow), carriage })
    }

    /// Has the client open its next streams on another connection.
    pub fn retire(&self) {
        self.carriage.retire();
    }

    /// Reads what came, as far as it did; no bytes are the end.
    ///
    /// # Errors
    /// `WouldBlock` if nothing came.
    pub fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut inflow = self.inflow.lock();
        match inflow.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(()) => Ok(inflow.take(into)),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Returns once bytes came, or the end.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.inflow.lock().poll(cx)
    }

    /// Takes as much as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; `BrokenPipe` if the stream is gone.
    pub fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match poll_send(&mut self.send.lock(), slices, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Returns when the next write would find room, or would fail.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut send = self.send.lock();
        // What the last write reserved, it may have used up. No more than this: what is reserved and not used is taken from
        // the window of the whole connection.
        send.reserve_capacity(1);
        poll_room(&mut send, cx).map(drop)
    }

    /// Says that nothing more will be written, behind what still waits.
    pub fn finish(&self) {
        let _ = self.send.lock().send_data(Bytes::new(), true);
    }

    /// Ends the stream and frees what still waits.
    pub fn cut(&self) {
        self.send.lock().send_reset(Reason::CANCEL);
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let inflow = self.inflow.get_mut();
        ready!(inflow.poll(cx));
        let count = inflow.take(into.initialize_unfilled());
        into.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        poll_send(self.send.get_mut(), &[IoSlice::new(bytes)], cx)
    }

    /// The connection sends what it has as soon as it can.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends writing, then reads and ignores what the client still sends, until it ends as well, as a socket does.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Only the first call ends it; the others fail.
        self.finish();
        let inflow = self.inflow.get_mut();
        let mut ignored = [0; 512];
        loop {
            ready!(inflow.poll(cx));
            if inflow.take(&mut ignored) == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl Inflow {
    /// Returns once there are bytes or none will come any more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.unread.is_empty() && !self.has_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(bytes)) => self.unread = bytes,
                Some(Err(_)) | None => self.has_ended = true,
            }
        }
        Poll::Ready(())
    }

    fn take(&mut self, into: &mut [u8]) -> usize {
        let count = self.unread.len().min(into.len());
        self.unread.copy_to_slice(&mut into[..count]);
        if self.unread.is_empty() {
            // An empty slice would keep the frame's memory.
            self.unread = Bytes::new();
        }
        // It fails for a stream that is gone, which has no window.
        let _ = self.stream.flow_control().release_capacity(count);
        count
    }
}

/// Sends as much as there is room for; returns the count of its bytes.
fn poll_send(
    send: &mut SendStream<Bytes>,
    slices: &[IoSlice<'_>],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let total: usize = slices.iter().map(|slice| slice.len()).sum();
    send.reserve_capacity(total.min(STREAM_BUFFER_BYTES));
    let room = ready!(poll_room(send, cx))?.min(total);
    send.send_data(gather(slices, room), false).map_err(|_| io::ErrorKind::BrokenPipe)?;
    Poll::Ready(Ok(room))
}

/// Returns how many of the reserved bytes there is room for, in the peer's windows and the buffer: one or more.
///
/// # Errors
/// The stream is gone.
pub(super) fn poll_room(send: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    loop {
        let room = send.capacity();
        if room > 0 {
            return Poll::Ready(Ok(room));
        }
        if !matches!(ready!(send.poll_capacity(cx)), Some(Ok(_))) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
    }
}

/// A copy of the first bytes.
fn gather(slices: &[IoSlice<'_>], bytes: usize) -> Bytes {
    let mut gathered = Vec::with_capacity(bytes);
    for slice in slices {
        let wanted = bytes - gathered.len();
        gathered.extend_from_slice(&slice[..slice.len().min(wanted)]);
    }
    gathered.into()
}
