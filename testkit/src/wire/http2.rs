//! A client of HTTP/2: requests, and WebSockets as streams of one connection (RFC 8441).

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use h2::{
    RecvStream, SendStream,
    client::{self, SendRequest},
    ext::Protocol,
};
use hyper::{Method, Request, Response, http::request::Builder};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpSocket,
    task::JoinSet,
    time::timeout,
};

use super::{
    private::{self, Stream},
    throttle::Throttled,
};
use crate::{Answer, PATIENCE, eventually, pause};

/// The bytes that are taken of a stream whose reader reads nothing, where little is wanted.
const SMALL_WINDOW: u32 = 16 * 1024;

/// The bytes that are taken of a connection whose streams are not read, about as many as a browser takes.
const CONNECTION_WINDOW: u32 = 15 * 1024 * 1024;

/// A connection. Its streams hold it open.
#[derive(Clone)]
pub struct Http2 {
    requests: SendRequest<Bytes>,
    address: SocketAddr,
    /// The task that moves the bytes.
    driver: Arc<tokio::sync::Mutex<JoinSet<Result<(), h2::Error>>>>,
}

impl Http2 {
    /// Connects to a pod.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::reading(address, None, None).await.expect("a pod that listens")
    }

    /// Connects, if the pod is there, with little room for what is not read, or at most so many bytes read a second.
    pub(super) async fn reading(
        address: SocketAddr,
        buffer: Option<u32>,
        reads: Option<usize>,
    ) -> Option<Self> {
        let socket = TcpSocket::new_v4().unwrap();
        let mut settings = client::Builder::new();
        settings.initial_connection_window_size(CONNECTION_WINDOW);
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
            settings.initial_window_size(SMALL_WINDOW).initial_connection_window_size(4 * SMALL_WINDOW);
        }
        let mut stream = private::dial_http2(socket, address).await.ok()?;
        if let Some(reads) = reads {
            stream = Box::new(Throttled::new(stream, reads));
        }
        Self::over(stream, address, &settings).await
    }

    /// Connects, and has the server send nothing of a body until the test reads it.
    pub async fn with_window(address: SocketAddr, bytes: u32) -> Self {
        let mut settings = client::Builder::new();
        settings.initial_window_size(bytes);
        Self::over(Self::silent(address).await, address, &settings).await.unwrap()
    }

    async fn over(stream: Box<dyn Stream>, address: SocketAddr, settings: &client::Builder) -> Option<Self> {
        let (requests, connection) = settings.handshake(stream).await.ok()?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Some(Self { requests, address, driver: Arc::new(driver.into()) })
    }

    /// Makes a request, and reads the head of the answer.
    pub async fn ask_in_part(&self, method: &str, path: &str) -> Response<RecvStream> {
        let request = self.request(Method::from_bytes(method.as_bytes()).unwrap(), path, &[]);
        self.send(request.body(()).unwrap(), true).await.expect("an answer").0
    }

    /// A connection that has chosen HTTP/2 and says nothing yet.
    pub async fn silent(address: SocketAddr) -> Box<dyn Stream> {
        private::patiently(async || private::dial_http2(TcpSocket::new_v4()?, address).await).await
    }

    /// Makes a request, which must be answered.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let request = self.request(Method::from_bytes(method.as_bytes()).unwrap(), path, headers);
        let mut requests = self.requests.clone().ready().await.expect("a stream");
        let (answer, mut out) = requests.send_request(request.body(()).unwrap(), body.is_empty()).unwrap();
        if !body.is_empty() {
            // h2 keeps what the windows do not take yet.
            out.send_data(Bytes::copy_from_slice(body), true).unwrap();
        }
        taken(timeout(PATIENCE, answer).await.expect("an answer").unwrap()).await
    }

    /// Opens a WebSocket; tells what the pod says if it refuses, and nothing if the connection takes no more streams.
    pub async fn websocket(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Box<dyn Stream>, Option<Answer>> {
        let request = self.request(Method::CONNECT, path, headers).header("sec-websocket-version", "13");
        self.connect_to(request.extension(Protocol::from_static("websocket"))).await.map(|opened| opened.0)
    }

    /// Sends an extended CONNECT; returns the stream and the head of the answer if that is a success.
    pub async fn connect_to(
        &self,
        request: Builder,
    ) -> Result<(Box<dyn Stream>, Response<()>), Option<Answer>> {
        let offered = async {
            while !self.requests.is_extended_connect_protocol_enabled() && self.takes_streams().await {
                pause(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, offered).await.expect("extended CONNECT is offered");
        let (answer, send) = self.send(request.body(()).unwrap(), false).await.ok_or(None)?;
        if !answer.status().is_success() {
            return Err(Some(taken(answer).await));
        }
        let (head, inbound) = answer.into_parts();
        let stream = Streaming { send, inbound, unread: Bytes::new(), _connection: self.clone() };
        Ok((Box::new(stream), Response::from_parts(head, ())))
    }

    /// Begins a request with this connection's authority.
    pub fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Builder {
        let uri = format!("https://{}{path}", self.address);
        let request = Request::builder().method(method).uri(uri);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    }

    async fn send(
        &self,
        request: Request<()>,
        is_whole: bool,
    ) -> Option<(Response<RecvStream>, SendStream<Bytes>)> {
        let mut requests = self.requests.clone().ready().await.ok()?;
        let (answer, out) = requests.send_request(request, is_whole).ok()?;
        Some((timeout(PATIENCE, answer).await.expect("an answer, or the end").ok()?, out))
    }

    /// Returns once the server asks for other streams to go over another connection.
    pub async fn retired(&self) {
        eventually("a retired connection", PATIENCE, async || {
            self.requests.clone().ready().await.is_err().then_some(())
        })
        .await;
    }

    /// Whether the server takes more streams on this connection.
    pub async fn takes_streams(&self) -> bool {
        self.requests.clone().ready().await.is_ok()
    }

    /// Returns once the connection has ended; whether that was in order.
    pub async fn ended(&self) -> bool {
        let mut driver = self.driver.lock().await;
        let ended = timeout(PATIENCE, driver.join_next()).await.expect("the end of the connection");
        ended.is_none_or(|ended| ended.unwrap().is_ok())
    }
}

/// The whole answer.
async fn taken(answer: Response<RecvStream>) -> Answer {
    let (head, mut inbound) = answer.into_parts();
    let mut body = Vec::new();
    while let Some(data) = timeout(PATIENCE, inbound.data()).await.expect("the rest of the answer") {
        let Ok(data) = data else { break };
        let _ = inbound.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
    }
    let headers = head.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    Answer::of(head.status.as_u16(), headers.collect(), String::from_utf8(body).unwrap())
}

/// A WebSocket's bytes.
struct Streaming {
    send: SendStream<Bytes>,
    inbound: RecvStream,
    unread: Bytes,
    _connection: Http2,
}

impl AsyncRead for Streaming {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.inbound.poll_data(cx)) {
                Some(Ok(data)) => self.unread = data,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.unread.len().min(into.remaining());
        into.put_slice(&self.unread[..count]);
        self.unread.advance(count);
        let _ = self.inbound.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Streaming {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.send.reserve_capacity(bytes.len());
        while self.send.capacity() == 0 {
            if !matches!(ready!(self.send.poll_capacity(cx)), Some(Ok(_))) {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
        }
        let count = self.send.capacity().min(bytes.len());
        let sent = self.send.send_data(Bytes::copy_from_slice(&bytes[..count]), false);
        Poll::Ready(sent.map(|()| count).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = self.send.send_data(Bytes::new(), true);
        Poll::Ready(Ok(()))
    }
}
