//! A TCP stream whose peer has to take what is written to it.

use std::{
    future::Future as _,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// The time within which a peer must take something of what is written. A window that reopens in big steps does so
/// within 26 s at 4 KiB/s.
const PROGRESS_WITHIN: Duration = Duration::from_secs(30);

/// The same for a connection of several streams: a viewer's own deadline ends the viewer first, and says so.
const STREAMS_PROGRESS_WITHIN: Duration = Duration::from_secs(45);

/// The longest time between the end of writing and the close.
const LINGER: Duration = Duration::from_secs(1);

/// A TCP stream that fails when its peer takes nothing for a time. It lies beneath TLS, so that encrypted
/// bytes count.
#[derive(Debug)]
pub struct SteadyStream {
    socket: TcpStream,
    /// The time within which the peer must take something.
    progress_within: Duration,
    /// Set while the socket is full; in a box, since few ever are.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Set when nothing more is written.
    lingers: Option<Pin<Box<Sleep>>>,
}

impl SteadyStream {
    pub(super) const fn new(socket: TcpStream) -> Self {
        Self { socket, progress_within: PROGRESS_WITHIN, stalled: None, lingers: None }
    }

    /// Prepares for streams that have deadlines of their own: no window that is shut for a moment ends all of them.
    pub(super) fn carry_streams(&mut self) {
        self.progress_within = STREAMS_PROGRESS_WITHIN;
        // As for a viewer's socket that was full (`Wire::writable`).
        let _ = SockRef::from(&self.socket).set_tcp_user_timeout(None);
    }

    #[must_use]
    pub fn into_inner(self) -> TcpStream {
        self.socket
    }

    /// Passes on a write's outcome, and its failure when it waits too long.
    fn progress(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let within = self.progress_within;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(within)));
        if stalled.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        // What the kernel still holds for it is freed with the socket.
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for SteadyStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, into)
    }
}

impl AsyncWrite for SteadyStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.progress(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.progress(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Ends writing, then reads and ignores what the client still sends, until it ends as well: a socket that is closed
    /// with unread bytes in it is reset, and the reset may overtake the last answer.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingers.is_none() {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            self.lingers = Some(Box::pin(sleep(LINGER)));
        }
        let Self { socket, lingers, .. } = &mut *self;
        loop {
            let mut ignored = [0; 4_096];
            let mut ignored = ReadBuf::new(&mut ignored);
            match Pin::new(&mut *socket).poll_read(cx, &mut ignored) {
                Poll::Ready(Ok(())) if !ignored.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        lingers.as_mut().map_or(Poll::Ready(Ok(())), |lingers| lingers.as_mut().poll(cx).map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        time::Instant,
    };

    use super::*;

    async fn pair() -> (SteadyStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let accepted = listener.accept().await.unwrap().0;
        // As the listener does: a large buffer takes bytes again only when a third of it is free.
        SockRef::from(&accepted).set_send_buffer_size(128 * 1024).unwrap();
        (SteadyStream::new(accepted), client)
    }

    /// Symptom: answers that were never read held their connection and its buffers for over a minute. Cause: nothing
    /// but the network's end ended a write.
    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_reads_fails_in_time() {
        let (mut stream, _silent) = pair().await;
        let begin = Instant::now();
        let failed = async {
            while stream.write(&[0; 4_096]).await? > 0 {}
            Ok::<_, io::Error>(())
        }
        .await;
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() >= PROGRESS_WITHIN);
    }

    /// A client may be as slow as it likes, if it reads on.
    #[tokio::test(start_paused = true)]
    async fn a_write_goes_on_while_the_client_reads_now_and_then() {
        let (mut stream, mut client) = pair().await;
        let bytes = 16 * 1024 * 1024;
        let write = async {
            stream.write_all(&vec![7; bytes]).await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let read = async {
            let (mut read, mut some) = (0, vec![0; 1024 * 1024]);
            while let Ok(1..) = client.read_exact(&mut some).await {
                read += some.len();
                sleep(PROGRESS_WITHIN * 2 / 3).await;
            }
            read
        };
        assert_eq!(tokio::join!(write, read).1, bytes);
    }
}
