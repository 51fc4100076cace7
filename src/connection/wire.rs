//! The socket itself, shared by who reads and who writes.

use std::{
    io::{self, IoSlice},
    net::Shutdown,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::hub::Outlet;

/// How much the kernel may hold that it has not sent: with more, "written" would say little about the viewer.
const NOTSENT_LOWAT: u32 = 16 * 1024;
/// How long the network may leave sent bytes unacknowledged before the kernel gives the socket up.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// A viewer's socket. Both sides share it: dropping an owned write half would end the connection.
pub(super) struct Wire {
    socket: TcpStream,
    /// Whether any byte came since somebody asked.
    heard: AtomicBool,
}

impl Wire {
    pub(super) fn new(socket: TcpStream) -> io::Result<Self> {
        let options = SockRef::from(&socket);
        options.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
        options.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        Ok(Self { socket, heard: AtomicBool::new(false) })
    }

    pub(super) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(super) async fn writable(&self) {
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
        let _ = SockRef::from(&self.socket).shutdown(Shutdown::Write);
    }

    /// Makes the close a cut: what the kernel still holds for a viewer that takes nothing is freed at once.
    pub(super) fn cut(&self) {
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }
}

impl Outlet for Wire {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            // `send` costs less than `writev`, and one slice is the usual case.
            [one] => self.socket.try_write(one),
            several => self.socket.try_write_vectored(several),
        }
    }
}
