//! The accept loop: every connection has deadlines from its first moment.

use std::{
    fmt::Display,
    io,
    mem::MaybeUninit,
    net::{Shutdown, SocketAddr},
    time::Duration,
};

use axum::Router;
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};

use super::{
    crowd::Crowd,
    ending::Ending,
    exchange::{Exchange, HEAD_DEADLINE, HttpLimits},
    multiplex,
    peer::PeerInfo,
    socket::Socket,
    tls::Acceptor,
};
use crate::tasks::Tasks;

/// How many connections may wait to be accepted; with the default of 128 a storm of joins loses handshakes.
const BACKLOG: u32 = 4_096;
/// The time that a new connection may be silent.
const SILENCE_DEADLINE: Duration = HEAD_DEADLINE;
/// The same while connections are more than half of those that there may be.
const CROWDED_DEADLINE: Duration = Duration::from_secs(1);
/// The bytes that the kernel may hold for a connection: sent and not acknowledged, or not sent. It doubles the number
/// for its own records.
const SEND_BUFFER_BYTES: usize = 128 * 1024;
/// The bytes of these that may be unsent: a client that reads nothing is noticed after so many.
const UNSENT_BYTES: u32 = 16 * 1024;
/// The time that the network may leave bytes unacknowledged, or a client its window closed, before the kernel gives the
/// connection up. Viewers have their own.
const USER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait when the process or the machine has no descriptor or memory left for another socket.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The answer to a connection that finds no room.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\nconnection: close\r\n\
    content-length: 0\r\n\r\n";

/// The time between two log lines about one trouble that lasts.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// A socket that listens.
pub type Listener = TcpListener;

/// How connections come in.
pub struct ListenerConfig {
    /// Where they come.
    pub listener: Listener,
    /// Connections whose descriptor has this number or a higher one are refused at once: these are for others, such as
    /// the ops listener.
    pub ceiling: usize,
    /// The most connections that are no viewers.
    pub most: usize,
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
    // Each accepted socket has these from its first moment.
    let options = SockRef::from(&socket);
    options.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    options.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    options.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections until it is told to refuse them; open ones are served until they are told to close.
pub async fn serve(config: ListenerConfig, router: Router, tasks: Tasks, ending: Ending) {
    let ListenerConfig { listener, ceiling, most, tls, http } = config;
    let mut trouble = Trouble::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ending.refused() => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                let peer_info = PeerInfo::of(&socket, peer);
                let open = tasks.requests();
                if peer_info.descriptor < ceiling && open < most {
                    let crowd = Crowd::new(tasks.clone(), most / 2);
                    let exchange = Exchange {
                        peer_info,
                        router: router.clone(),
                        limits: http,
                        ending: ending.clone(),
                        crowd,
                    };
                    tasks.request(connection(socket, tls.clone(), exchange));
                } else {
                    trouble.warn("connections are refused: there is no room for more", &open);
                    refuse(&socket, tls.is_some());
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                trouble.warn("no connection can be accepted at the moment", &error);
                sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// Says that there is no room, as far as the client's buffer takes it: there is nothing to wait for it with.
fn refuse(socket: &TcpStream, is_private: bool) {
    let socket = SockRef::from(socket);
    if !is_private {
        // Not by way of the runtime, which may not know yet that the socket takes bytes.
        let _ = socket.send(NO_ROOM);
    }
    let _ = socket.shutdown(Shutdown::Write);
    // A request that is here already would turn the close into a reset, which may overtake the answer.
    let mut unread = [MaybeUninit::uninit(); 4_096];
    let _ = socket.recv(&mut unread);
}

/// The moment of the last log line about a trouble that lasts.
#[derive(Default)]
struct Trouble(Option<Instant>);

impl Trouble {
    fn warn(&mut self, trouble: &'static str, detail: &dyn Display) {
        if self.0.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            self.0 = Some(Instant::now());
            tracing::warn!(%detail, "{trouble}");
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Serves a connection, behind TLS if there is a certificate.
async fn connection(socket: TcpStream, tls: Option<Acceptor>, exchange: Exchange) {
    let _ = socket.set_nodelay(true);
    let silence = if exchange.crowd.is_large() { CROWDED_DEADLINE } else { SILENCE_DEADLINE };
    // Before anything is allocated for it.
    if !matches!(timeout(silence, socket.peek(&mut [0])).await, Ok(Ok(1))) {
        return;
    }
    let socket = match &tls {
        None => Some(Socket::plain(socket)),
        // In a box: the rest of the connection's life needs no room for it.
        Some(acceptor) => tokio::select! {
            socket = Box::pin(acceptor.accept(socket)) => socket,
            () = exchange.ending.refused() => None,
        },
    };
    match socket {
        // In a box: few connections need room for it.
        Some(socket) if socket.speaks_http2() => Box::pin(multiplex::serve(exchange, socket)).await,
        Some(socket) => exchange.serve(socket).await,
        None => {}
    }
}
