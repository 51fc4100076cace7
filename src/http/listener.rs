//! The accept loop: every connection has deadlines from its first moment.

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::shutdown::Tasks;

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

/// How often that is logged while it lasts.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// A socket that listens.
pub type Listener = TcpListener;

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

/// Accepts connections until `stop` is cancelled; those that are open then finish their request.
pub async fn serve(listener: Listener, router: Router, tasks: Tasks, stop: CancellationToken) {
    let mut warned = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((socket, _)) => tasks.request(connection(socket, router.clone(), stop.clone())),
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

async fn connection(socket: TcpStream, router: Router, stop: CancellationToken) {
    let _ = socket.set_nodelay(true);
    // Before anything is allocated for it.
    if !matches!(timeout(HEADERS_DEADLINE, socket.peek(&mut [0])).await, Ok(Ok(1))) {
        return;
    }
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_DEADLINE)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router))
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
