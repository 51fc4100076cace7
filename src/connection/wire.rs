//! The socket itself, shared by who reads and who writes.

use std::{
    io::{self, IoSlice},
    net::Shutdown,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use socket2::SockRef;
use tokio::net::TcpStream;

use super::{cipher::Cipher, socket::Socket};
use crate::hub::Outlet;

/// How much the kernel may hold that it has not sent: with more, "written" would say little about the viewer.
const NOTSENT_LOWAT: u32 = 16 * 1024;
/// The time after which the kernel gives up a socket whose sent bytes nobody acknowledges.
const USER_TIMEOUT: Duration = Duration::from_secs(36);

/// The time that the kernel tries to deliver what it holds for a viewer whose socket is closed.
const EXPIRE: Duration = Duration::from_secs(5);

/// A viewer's socket. Both sides share it: dropping an owned write half would end the connection.
pub(super) struct Wire {
    socket: TcpStream,
    /// Behind TLS.
    cipher: Option<Box<Cipher>>,
    /// Whether any byte came since somebody asked.
    heard: AtomicBool,
    /// Whether the socket was ever full.
    was_full: AtomicBool,
}

impl Wire {
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        let (socket, cipher) = match socket {
            Socket::Plain(socket) => (socket.into_inner(), None),
            Socket::Private(stream) => {
                let (socket, session) = stream.into_inner();
                (socket.into_inner(), Some(Cipher::new(session)))
            }
        };
        let options = SockRef::from(&socket);
        options.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
        options.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        Ok(Self { socket, cipher, heard: AtomicBool::new(false), was_full: AtomicBool::new(false) })
    }

    pub(super) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Reads what came, as far as it did.
    pub(super) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match &self.cipher {
            None => self.socket.try_read(into),
            Some(cipher) => cipher.read(&self.socket, into),
        }
    }

    /// Waits until a full socket takes something.
    ///
    /// While a receive window is shut, Linux measures the user timeout from the first probe until the next segment fits as
    /// a whole. It ends a viewer with a small window that reads all the time. From here on the session's deadlines count.
    pub(super) async fn writable(&self) {
        if !self.was_full.swap(true, Ordering::Relaxed) {
            let _ = SockRef::from(&self.socket).set_tcp_user_timeout(None);
        }
        // An error shows at the write that follows.
        let _ = self.socket.writable().await;
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
        if let Some(cipher) = &self.cipher {
            cipher.finish(&self.socket);
        }
        let _ = SockRef::from(&self.socket).shutdown(Shutdown::Write);
    }

    /// Lets the kernel take what is left to say, also for a viewer that reads nothing: its buffer has more room than the
    /// bound of unsent bytes.
    pub(super) fn make_room(&self) {
        let _ = SockRef::from(&self.socket).set_tcp_notsent_lowat(u32::MAX);
    }

    /// Lets the kernel go on with what it holds for the viewer for a moment after the close.
    pub(super) fn expire(&self) {
        let _ = SockRef::from(&self.socket).set_tcp_user_timeout(Some(EXPIRE));
    }

    /// Makes the close a cut: what the kernel still holds for a viewer that takes nothing is freed at once.
    pub(super) fn cut(&self) {
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }
}

impl Outlet for Wire {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (&self.cipher, slices) {
            (Some(cipher), slices) => cipher.write(&self.socket, slices),
            // `send` costs less than `writev`, and one slice is the usual case.
            (None, [one]) => self.socket.try_write(one),
            (None, several) => self.socket.try_write_vectored(several),
        }
    }

    fn flush(&self) -> io::Result<()> {
        self.cipher.as_ref().map_or(Ok(()), |cipher| cipher.flush(&self.socket))
    }

    fn is_deferred(&self) -> bool {
        self.cipher.is_some()
    }
}
