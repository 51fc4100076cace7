//! The accept loop: every connection has deadlines from its first moment.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
    time::Duration,
};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};

use super::exchange::{HEAD_DEADLINE, HttpLimits, exchange};
use crate::{
    connection::{Acceptor, Socket},
    shutdown::{Ending, Tasks},
};

/// How many connections may wait to be accepted; with the default of 128 a storm of joins loses handshakes.
const BACKLOG: u32 = 4_096;
/// The time that a new connection may be silent.
const SILENCE_DEADLINE: Duration = HEAD_DEADLINE;
/// How long to wait when the process or the machine has no descriptor or memory left for another socket.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The answer to who comes when the descriptors that are left are for others.
const NO_DESCRIPTORS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\nconnection: close\r\n\
    content-length: 0\r\n\r\n";

/// How often that is logged while it lasts.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// A socket that listens.
pub type Listener = TcpListener;

/// How connections come in.
pub struct Door {
    /// Where they come.
    pub listener: Listener,
    /// Those whose descriptor has this number or a higher one are refused at once: these are for others.
    pub ceiling: usize,
    /// Makes them private; none for plain ones.
    pub tls: Option<Acceptor>,
    /// The limits of its HTTP connections.
    pub http: HttpLimits,
}

/// Listens at an address; port 0 takes a free one.
///
/// # Errors
/// What the system says, such as an address in use.
pub fn bind(address: SocketAddr) -> io::Result<Listener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What is known of a connection before it says anything, with each of its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrived {
    /// Who connected: the client, or a proxy.
    pub(super) peer: IpAddr,
    /// The number of its descriptor. The system gives out the lowest free number, so that at least so many are in use.
    pub(super) descriptor: usize,
}

impl Arrived {
    fn of(socket: &TcpStream, peer: SocketAddr) -> Self {
        let descriptor = usize::try_from(socket.as_raw_fd()).unwrap_or(0);
        Self { peer: peer.ip().to_canonical(), descriptor }
    }
}

/// Accepts connections until it is told to refuse them; open ones are served until they are told to close.
pub async fn serve(door: Door, router: Router, tasks: Tasks, ending: Ending) {
    let Door { listener, ceiling, tls, http } = door;
    let mut warned = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ending.refused() => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                let arrived = Arrived::of(&socket, peer);
                if arrived.descriptor < ceiling {
                    let inside =
                        Inside { router: router.clone(), tls: tls.clone(), http, ending: ending.clone() };
                    tasks.request(inside.connection(socket, arrived));
                } else if tls.is_none() {
                    // As far as the client still reads it: there is nothing left to wait for it with.
                    let _ = socket.try_write(NO_DESCRIPTORS);
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if warned.is_none_or(|warned: Instant| warned.elapsed() >= WARN_EVERY) {
                    warned = Some(Instant::now());
                    tracing::warn!(%error, "no connection can be accepted at the moment");
                }
                sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// What a connection meets inside.
struct Inside {
    router: Router,
    tls: Option<Acceptor>,
    http: HttpLimits,
    ending: Ending,
}

impl Inside {
    async fn connection(self, socket: TcpStream, arrived: Arrived) {
        let _ = socket.set_nodelay(true);
        // Before anything is allocated for it.
        if !matches!(timeout(SILENCE_DEADLINE, socket.peek(&mut [0])).await, Ok(Ok(1))) {
            return;
        }
        let socket = match &self.tls {
            None => Some(Socket::Plain(socket)),
            // In a box: the rest of the connection's life needs no room for it.
            Some(acceptor) => tokio::select! {
                socket = Box::pin(acceptor.accept(socket)) => socket,
                () = self.ending.refused() => None,
            },
        };
        if let Some(socket) = socket {
            let Self { router, http, ending, .. } = self;
            exchange(socket, arrived, router, http, ending).await;
        }
    }
}
