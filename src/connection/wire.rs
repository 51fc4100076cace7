//! The socket itself, shared by who reads and who writes.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    net::Shutdown,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use socket2::SockRef;
use tokio::net::TcpStream;

use super::viewer_stream::ViewerStream;
use crate::{
    hub::Outlet,
    net::{Cipher, Socket, Tunnel},
};

/// How much the kernel may hold that it has not sent: with more, "written" would say little about the viewer.
const NOTSENT_LOWAT: u32 = 16 * 1024;
/// The time after which the kernel gives up a socket whose sent bytes nobody acknowledges.
const USER_TIMEOUT: Duration = Duration::from_secs(36);

/// The time that the kernel tries to deliver what it holds for a viewer whose socket is closed.
const EXPIRE: Duration = Duration::from_secs(5);

/// A viewer's socket. Both sides share it: dropping an owned write half would end the connection.
pub(super) struct Wire {
    transport: Transport,
    /// Whether any byte came since somebody asked.
    heard: AtomicBool,
    /// Whether the socket was ever full.
    was_full: AtomicBool,
}

/// What the bytes go through.
enum Transport {
    Plain(TcpStream),
    /// Behind TLS.
    Private(TcpStream, Box<Cipher>),
    /// A stream of an HTTP/2 connection, which has the socket's options and deadlines.
    Tunnel(Box<Tunnel>),
}

impl Wire {
    pub(super) fn new(stream: ViewerStream) -> io::Result<Self> {
        let transport = match stream {
            ViewerStream::Socket(Socket::Plain(socket)) => Transport::Plain(socket.into_inner()),
            ViewerStream::Socket(Socket::Private(stream)) => {
                let (socket, session) = stream.into_inner();
                Transport::Private(socket.into_inner(), Cipher::new(session))
            }
            ViewerStream::Tunnel(tunnel) => Transport::Tunnel(tunnel),
        };
        let wire = Self { transport, heard: AtomicBool::new(false), was_full: AtomicBool::new(false) };
        if let Some(options) = wire.options() {
            options.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
            options.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        }
        Ok(wire)
    }

    /// The options of the viewer's own socket; none if it shares its connection.
    fn options(&self) -> Option<SockRef<'_>> {
        match &self.transport {
            Transport::Plain(socket) | Transport::Private(socket, _) => Some(SockRef::from(socket)),
            Transport::Tunnel(_) => None,
        }
    }

    /// Reads what came, as far as it did.
    pub(super) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match &self.transport {
            Transport::Plain(socket) => socket.try_read(into),
            Transport::Private(socket, cipher) => cipher.read(socket, into),
            Transport::Tunnel(tunnel) => tunnel.try_read(into),
        }
    }

    /// Reads what came without understanding it: encrypted bytes stay so.
    pub(super) fn try_skip(&self, into: &mut [u8]) -> io::Result<usize> {
        match &self.transport {
            Transport::Plain(socket) | Transport::Private(socket, _) => socket.try_read(into),
            Transport::Tunnel(tunnel) => tunnel.try_read(into),
        }
    }

    /// Returns once something came, or the end.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.transport {
            Transport::Plain(socket) | Transport::Private(socket, _) => socket.poll_read_ready(cx),
            Transport::Tunnel(tunnel) => tunnel.poll_read_ready(cx).map(Ok),
        }
    }

    /// Waits until a full socket takes something.
    ///
    /// While a receive window is shut, Linux measures the user timeout from the first probe until the next segment fits as
    /// a whole. It ends a viewer with a small window that reads all the time. From here on the session's deadlines count.
    pub(super) async fn writable(&self) {
        match &self.transport {
            Transport::Plain(socket) | Transport::Private(socket, _) => {
                if !self.was_full.swap(true, Ordering::Relaxed) {
                    let _ = SockRef::from(socket).set_tcp_user_timeout(None);
                }
                // An error shows at the write that follows.
                let _ = socket.writable().await;
            }
            Transport::Tunnel(tunnel) => poll_fn(|cx| tunnel.poll_write_ready(cx)).await,
        }
    }

    /// Has the viewer's next socket come over another connection: the one that it shares leads to this pod.
    pub(super) fn retire(&self) {
        if let Transport::Tunnel(tunnel) = &self.transport {
            tunnel.retire();
        }
    }

    pub(super) fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Whether any byte came since the last call.
    pub(super) fn take_heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    /// Says that nothing more will be written.
    pub(super) fn finish(&self) {
        match &self.transport {
            Transport::Plain(_) => {}
            Transport::Private(socket, cipher) => cipher.finish(socket),
            Transport::Tunnel(tunnel) => tunnel.finish(),
        }
        let _ = self.options().map(|socket| socket.shutdown(Shutdown::Write));
    }

    /// Lets the kernel take what is left to say, also for a viewer that reads nothing: its buffer has more room than the
    /// bound of unsent bytes.
    pub(super) fn make_room(&self) {
        let _ = self.options().map(|socket| socket.set_tcp_notsent_lowat(u32::MAX));
    }

    /// Lets the kernel go on with what it holds for the viewer for a moment after the close.
    pub(super) fn expire(&self) {
        let _ = self.options().map(|socket| socket.set_tcp_user_timeout(Some(EXPIRE)));
    }

    /// Makes the close a cut: what the kernel still holds for a viewer that takes nothing is freed at once.
    pub(super) fn cut(&self) {
        match &self.transport {
            Transport::Plain(socket) | Transport::Private(socket, _) => {
                let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            }
            Transport::Tunnel(tunnel) => tunnel.cut(),
        }
    }
}

impl Outlet for Wire {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (&self.transport, slices) {
            // `send` costs less than `writev`, and one slice is the usual case.
            (Transport::Plain(socket), [one]) => socket.try_write(one),
            (Transport::Plain(socket), several) => socket.try_write_vectored(several),
            (Transport::Private(socket, cipher), slices) => cipher.write(socket, slices),
            (Transport::Tunnel(tunnel), slices) => tunnel.try_write(slices),
        }
    }

    fn flush(&self) -> io::Result<()> {
        match &self.transport {
            Transport::Private(socket, cipher) => cipher.flush(socket),
            Transport::Plain(_) | Transport::Tunnel(_) => Ok(()),
        }
    }

    fn is_deferred(&self) -> bool {
        !matches!(self.transport, Transport::Plain(_))
    }
}
