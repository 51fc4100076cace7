//! Opens connections: TCP from a chosen source address, TLS where the target asks for it, and the WebSocket handshake,
//! under one deadline.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout_at},
};

use super::{
    stream::Stream,
    tls,
    tls::Tls,
    wire,
    wire::{HandshakeError, Key},
};

/// What the record of a TLS alert begins with (RFC 8446 section 5.1); no answer in HTTP does.
const TLS_ALERT: u8 = 21;

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum DialError {
    Connect(io::ErrorKind),
    /// There is no TLS, for this reason.
    Tls(String),
    /// The connection ended during the handshake.
    Cut(io::ErrorKind),
    /// A connection without TLS ended without an answer, or with a TLS alert, as servers that speak TLS end it.
    Unanswered,
    Handshake(HandshakeError),
    TimedOut(&'static str),
    /// The connection ended before `hello`, for this reason.
    Dropped(String),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(kind) => write!(f, "connect: {kind}"),
            Self::Tls(reason) => f.write_str(reason),
            Self::Cut(kind) => write!(f, "cut in the handshake: {kind}"),
            Self::Unanswered => {
                f.write_str("the server ended the connection without an answer: is its URL wss://?")
            }
            Self::Handshake(error) => error.fmt(f),
            Self::TimedOut(stage) => write!(f, "no {stage} in time"),
            Self::Dropped(reason) => write!(f, "dropped before hello: {reason}"),
        }
    }
}

/// How to connect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) source: Option<IpAddr>,
    /// The kernel's receive buffer; `None` leaves it to the kernel.
    pub(crate) receive_bytes: Option<u32>,
    pub(crate) deadline: Instant,
    /// With TLS, as a client of the server at this `host:port`; `None` is plain.
    pub(crate) tls: Option<(&'a Tls, &'a str)>,
}

/// Opens a connection, over which requests can be sent.
pub(crate) async fn connect(route: Route<'_>) -> Result<Stream, DialError> {
    let socket = connect_tcp(route).await?;
    match route.tls {
        None => Ok(Stream::Plain(socket)),
        // On the heap: it is larger than all the rest, and few runs need it.
        Some(tls) => Box::pin(encrypt(socket, tls, route.deadline)).await,
    }
}

async fn encrypt(
    socket: TcpStream,
    (tls, authority): (&Tls, &str),
    deadline: Instant,
) -> Result<Stream, DialError> {
    let name = tls::server_name(authority);
    let name = name.ok_or_else(|| DialError::Tls(format!("{authority} is no name of a server")))?;
    match timeout_at(deadline, tls.connect(name, socket)).await {
        Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
        Ok(Err(error)) => Err(DialError::Tls(tls::reason(&error))),
        Err(_) => Err(DialError::TimedOut("TLS handshake")),
    }
}

async fn connect_tcp(route: Route<'_>) -> Result<TcpStream, DialError> {
    let opened = async {
        let socket = if route.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(bytes) = route.receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(source) = route.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        socket.set_nodelay(true)?;
        socket.connect(route.address).await
    };
    match timeout_at(route.deadline, opened).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(DialError::Connect(error.kind())),
        Err(_) => Err(DialError::TimedOut("connection")),
    }
}

/// What to ask for.
pub(crate) struct Upgrade<'a> {
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a str,
    pub(crate) nonce: u128,
}

/// Opens a WebSocket; with the bytes that came behind the answer's head.
pub(crate) async fn open(route: Route<'_>, upgrade: Upgrade<'_>) -> Result<(Stream, Vec<u8>), DialError> {
    let mut stream = connect(route).await?;
    match timeout_at(route.deadline, shake_hands(&mut stream, upgrade)).await {
        Ok(Ok(rest)) => Ok((stream, rest)),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(DialError::TimedOut("answer to the handshake")),
    }
}

async fn shake_hands(stream: &mut Stream, upgrade: Upgrade<'_>) -> Result<Vec<u8>, DialError> {
    let cut = |error: io::Error| DialError::Cut(error.kind());
    let key = Key::new(upgrade.nonce);
    let request = wire::request(upgrade.authority, upgrade.path, &key, upgrade.headers);
    stream.write_all(&request).await.map_err(cut)?;
    stream.flush().await.map_err(cut)?;
    let mut answer = Vec::with_capacity(1024);
    loop {
        if let Some(length) = wire::head_length(&answer).map_err(DialError::Handshake)? {
            wire::verify(&answer[..length], &key).map_err(DialError::Handshake)?;
            return Ok(answer.split_off(length));
        }
        if stream.read_buf(&mut answer).await.map_err(cut)? == 0 {
            let perhaps_tls = matches!(answer.first(), None | Some(&TLS_ALERT));
            return Err(match stream {
                Stream::Plain(_) if perhaps_tls => DialError::Unanswered,
                _ => DialError::Cut(io::ErrorKind::UnexpectedEof),
            });
        }
    }
}
