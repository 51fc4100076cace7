//! The accept loop: every connection has deadlines from its first moment.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
    pin::pin,
    time::Duration,
};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    connection::{Acceptor, Socket},
    shutdown::Tasks,
};

/// How many connections may wait to be accepted; with the default of 128 a storm of joins loses handshakes.
const BACKLOG: u32 = 4_096;
/// How long a connection may be silent, and how long the headers of a request may take.
const HEADERS_DEADLINE: Duration = Duration::from_secs(5);
/// The most headers of a request; more are answered with 431.
const MAX_HEADERS: usize = 64;
/// The most bytes of a request's line and headers; more are answered with 431.
const MAX_HEADER_BYTES: usize = 8 * 1024;
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

/// Accepts connections until `stop` is cancelled; those that are open then finish their request.
pub async fn serve(door: Door, router: Router, tasks: Tasks, stop: CancellationToken) {
    let Door { listener, ceiling, tls } = door;
    let mut warned = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                let arrived = Arrived::of(&socket, peer);
                if arrived.descriptor < ceiling {
                    let inside = Inside { router: router.clone(), tls: tls.clone(), stop: stop.clone() };
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
    stop: CancellationToken,
}

impl Inside {
    async fn connection(self, socket: TcpStream, arrived: Arrived) {
        let _ = socket.set_nodelay(true);
        // Before anything is allocated for it.
        if !matches!(timeout(HEADERS_DEADLINE, socket.peek(&mut [0])).await, Ok(Ok(1))) {
            return;
        }
        let socket = match &self.tls {
            None => Some(Socket::Plain(socket)),
            // In a box: the rest of the connection's life needs no room for it.
            Some(acceptor) => tokio::select! {
                socket = Box::pin(acceptor.accept(socket)) => socket,
                () = self.stop.cancelled() => None,
            },
        };
        if let Some(socket) = socket {
            self.http(socket, arrived).await;
        }
    }

    async fn http(self, socket: Socket, arrived: Arrived) {
        let Self { router, stop, .. } = self;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(arrived);
            TowerToHyperService::new(router.clone()).call(request)
        });
        let http = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_DEADLINE)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades();
        let mut http = pin!(http);
        let served = tokio::select! {
            served = http.as_mut() => served,
            () = stop.cancelled() => {
                http.as_mut().graceful_shutdown();
                http.await
            }
        };
        if let Err(error) = served {
            tracing::trace!(%error, "an HTTP connection ended early");
        }
    }
}
