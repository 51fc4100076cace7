//! One HTTP/2 connection (RFC 9113): its requests, and its viewers, each on a stream of its own (RFC 8441).
//!
//! The limits are those of an HTTP/1.1 connection as far as there is one: a client has the same time to begin, to be idle
//! and to take an answer. A connection that ends is retired first (GOAWAY): its streams go on, and the client opens
//! others elsewhere.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header, request},
};
use h2::{
    Reason, RecvStream, SendStream,
    ext::Protocol,
    server::{Builder, Connection, SendResponse},
};
use http_body_util::BodyExt as _;
use hyper::{body::Frame, service::Service as _};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    exchange::{Exchange, HEAD_DEADLINE, RequestProgress, RequestStream, says_close},
    socket::Socket,
    tunnel::{Carriage, STREAM_BUFFER_BYTES, Tunnel, poll_room},
};
use crate::tasks::Carrier;

/// The most streams at a time. A browser has one connection for all its tabs, and queues what exceeds this.
const MOST_STREAMS: u32 = 32;
/// The viewers after whom a connection is retired, so that the tabs of a browser never wait for a stream.
const MOST_VIEWERS: usize = 16;
/// The bytes that a client may send on a stream before they are read.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The bytes that it may send on all streams together.
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// The time within which a client must take an answer, which is at most a page of history.
const ANSWER_TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// The time in which a retired connection without streams ends by itself.
const RETIRED_WITHIN: Duration = Duration::from_secs(5);
/// The same when the pod ends.
const LAST_WITHIN: Duration = Duration::from_secs(1);
/// Headers that mean something to an HTTP/1.1 connection only (RFC 9113 section 8.2.2).
const OF_HTTP1: [HeaderName; 4] =
    [header::CONNECTION, HeaderName::from_static("keep-alive"), header::TRANSFER_ENCODING, header::UPGRADE];

/// Serves the streams of a connection until one side ends it.
pub(super) async fn serve(exchange: Exchange, mut socket: Socket) {
    socket.carry_streams();
    let mut builder = Builder::new();
    builder
        .enable_connect_protocol()
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(u32::try_from(exchange.limits.head_bytes).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(STREAM_BUFFER_BYTES);
    // Busy from its first to its last stream: the deadline of a head is HTTP/1.1's.
    let progress = Arc::new(RequestProgress::default());
    progress.begin();
    let stream = RequestStream::new(socket, Arc::clone(&progress));
    match timeout(HEAD_DEADLINE, builder.handshake(stream)).await {
        Ok(Ok(connection)) => Multiplexed::new(exchange, progress).run(connection).await,
        Ok(Err(error)) => tracing::trace!(%error, "no HTTP/2"),
        Err(_) => {}
    }
}

/// The offer of a stream to the handler of a WebSocket's CONNECT: it becomes a [`Tunnel`] with the answer 200.
#[derive(Clone)]
pub struct Offer(Arc<Mutex<Option<oneshot::Receiver<Box<Tunnel>>>>>);

impl Offer {
    /// Returns the stream that is to come, or `None` if it was taken already.
    #[must_use]
    pub fn take(self) -> Option<oneshot::Receiver<Box<Tunnel>>> {
        self.0.lock().take()
    }
}

/// The parts that the streams of one connection share.
struct Multiplexed {
    exchange: Exchange,
    /// Tells whether the connection's socket is full.
    progress: Arc<RequestProgress>,
    /// Cancelled when the client is to open its next streams on another connection.
    retired: CancellationToken,
    /// Guards the count of viewers; held to change it.
    viewers: Mutex<ViewerCount>,
    /// Told when the last viewer has left.
    left: Notify,
}

#[derive(Default)]
struct ViewerCount {
    present: usize,
    /// All that ever came.
    came: usize,
    carrier: Option<Carrier>,
}

impl Multiplexed {
    fn new(exchange: Exchange, progress: Arc<RequestProgress>) -> Arc<Self> {
        let (retired, viewers) = (CancellationToken::new(), Mutex::default());
        Arc::new(Self { exchange, progress, retired, viewers, left: Notify::new() })
    }

    /// Accepts streams until the connection ends. One without requests and viewers is idle, and retired in the end.
    async fn run(self: Arc<Self>, mut connection: Connection<RequestStream, Bytes>) {
        let ending = &self.exchange.ending;
        let (mut is_retired, mut is_closed, mut answers) = (false, false, JoinSet::new());
        let mut deadline = pin!(sleep(self.idle_time()));
        loop {
            let is_idle = answers.is_empty() && self.viewers.lock().present == 0;
            let kept = if is_retired { RETIRED_WITHIN } else { self.idle_time() };
            tokio::select! {
                biased;
                () = self.retired.cancelled(), if !is_retired => {
                    connection.graceful_shutdown();
                    is_retired = true;
                    deadline.as_mut().reset(Instant::now() + RETIRED_WITHIN);
                }
                () = ending.refused(), if !is_retired => self.retired.cancel(),
                () = ending.closed(), if is_retired && is_idle && !is_closed => {
                    is_closed = true;
                    deadline.as_mut().reset(Instant::now() + LAST_WITHIN);
                }
                Some(_) = answers.join_next(), if !answers.is_empty() => {
                    deadline.as_mut().reset(Instant::now() + kept);
                }
                () = self.left.notified() => deadline.as_mut().reset(Instant::now() + kept),
                () = deadline.as_mut(), if is_idle => {
                    if is_retired {
                        return;
                    }
                    self.retired.cancel();
                }
                accepted = connection.accept() => match accepted {
                    Some(Ok((request, respond))) => drop(answers.spawn(Arc::clone(&self).answer(request, respond))),
                    Some(Err(error)) => return tracing::trace!(%error, "an HTTP/2 connection ended early"),
                    None => return,
                }
            }
        }
    }

    /// The time that the connection is kept without a stream.
    fn idle_time(&self) -> Duration {
        let Exchange { limits, crowd, .. } = &self.exchange;
        if crowd.is_large() { limits.idle.min(HEAD_DEADLINE) } else { limits.idle }
    }

    /// Answers a request, unless its client takes it back.
    async fn answer(self: Arc<Self>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let (mut parts, inbound) = request.into_parts();
        parts.extensions.insert(self.exchange.peer_info);
        let (body, tunnel) = if is_websocket(&parts) {
            let (taken, offer) = oneshot::channel();
            parts.extensions.insert(Offer(Arc::new(Mutex::new(Some(offer)))));
            (Body::empty(), Some((inbound, taken)))
        } else {
            (Body::new(StreamBody(inbound)), None)
        };
        let router = TowerToHyperService::new(self.exchange.router.clone());
        let answer = async {
            // For a client that reads no answers, no more are made.
            self.progress.writable().await;
            router.call(Request::from_parts(parts, body)).await
        };
        let answer = tokio::select! {
            biased;
            _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
            answer = answer => answer,
        };
        let Ok(mut answer) = answer;
        let Exchange { ending, crowd, .. } = &self.exchange;
        if ending.is_announced() || crowd.is_large() || says_close(answer.headers()) {
            self.retired.cancel();
        }
        complete(answer.headers_mut());
        match tunnel {
            Some((inbound, taken)) if answer.status().is_success() => {
                let Ok(send) = respond.send_response(answer.map(drop), false) else { return };
                let _ = taken.send(Tunnel::new(send, inbound, Box::new(Ride::begin(self))));
            }
            _ => send(respond, answer).await,
        }
    }
}

/// Returns whether a request asks for a WebSocket (RFC 8441 section 5).
fn is_websocket(request: &request::Parts) -> bool {
    let protocol = request.extensions.get::<Protocol>();
    request.method == Method::CONNECT && protocol.is_some_and(|protocol| protocol.as_str() == "websocket")
}

/// A viewer on the connection.
struct Ride(Arc<Multiplexed>);

impl Ride {
    fn begin(streams: Arc<Multiplexed>) -> Self {
        {
            let mut viewers = streams.viewers.lock();
            viewers.present += 1;
            viewers.came += 1;
            let carrier = || streams.exchange.crowd.carrier();
            viewers.carrier.get_or_insert_with(carrier);
            if viewers.came >= MOST_VIEWERS {
                streams.retired.cancel();
            }
        }
        Self(streams)
    }
}

impl Carriage for Ride {
    fn retire(&self) {
        self.0.retired.cancel();
    }
}

impl Drop for Ride {
    fn drop(&mut self) {
        let mut viewers = self.0.viewers.lock();
        viewers.present -= 1;
        if viewers.present == 0 {
            viewers.carrier = None;
            self.0.left.notify_one();
        }
    }
}

/// Adds and removes the headers that depend on the version of HTTP.
fn complete(headers: &mut HeaderMap) {
    OF_HTTP1.iter().for_each(|name| drop(headers.remove(name)));
    if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())) {
        headers.insert(header::DATE, date);
    }
}

/// Sends an answer as fast as its client takes it; the stream of one that takes too long is reset.
async fn send(mut respond: SendResponse<Bytes>, answer: Response<Body>) {
    let (mut head, body) = answer.into_parts();
    if body.is_end_stream() {
        let _ = respond.send_response(Response::from_parts(head, ()), true);
        return;
    }
    if let Some(length) = body.size_hint().exact() {
        head.headers.entry(header::CONTENT_LENGTH).or_insert(length.into());
    }
    let Ok(mut stream) = respond.send_response(Response::from_parts(head, ()), false) else { return };
    if !matches!(timeout(ANSWER_TAKEN_WITHIN, send_body(&mut stream, body)).await, Ok(Some(()))) {
        stream.send_reset(Reason::CANCEL);
    }
}

/// Sends a body whole; returns `None` if either side broke off.
async fn send_body(stream: &mut SendStream<Bytes>, mut body: Body) -> Option<()> {
    while let Some(frame) = body.frame().await {
        let Ok(mut data) = frame.ok()?.into_data() else { continue };
        while !data.is_empty() {
            stream.reserve_capacity(data.len());
            let room = poll_fn(|cx| poll_room(stream, cx)).await.ok()?.min(data.len());
            stream.send_data(data.split_to(room), false).ok()?;
        }
    }
    stream.send_data(Bytes::new(), true).ok()
}

/// A request's body. What is read of it opens the client's window again.
struct StreamBody(RecvStream);

impl HttpBody for StreamBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let data = ready!(self.0.poll_data(cx));
        if let Some(Ok(bytes)) = &data {
            // It fails for a stream that is gone, which has no window.
            let _ = self.0.flow_control().release_capacity(bytes.len());
        }
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use axum::Router;
    use h2::client;
    use tokio::{
        io::AsyncWriteExt as _,
        net::{TcpListener, TcpStream},
        sync::mpsc,
        task::yield_now,
    };

    use super::*;
    use crate::{
        net::{crowd::Crowd, ending::Ending, exchange::HttpLimits, peer::PeerInfo},
        tasks::Tasks,
    };

    /// The bytes that the client allows on a stream and on its connection: more than the socket ever takes.
    const WINDOW: u32 = 1 << 30;

    /// The parts of a connection for one that hands its viewers to the test.
    fn exchange(offers: mpsc::Sender<Offer>) -> Exchange {
        let router = Router::new().fallback(async move |request: Request<Body>| {
            offers.send(request.extensions().get::<Offer>().unwrap().clone()).await.unwrap();
        });
        Exchange {
            peer_info: PeerInfo { peer: IpAddr::V4(Ipv4Addr::LOCALHOST), descriptor: 0 },
            router,
            limits: HttpLimits::default(),
            ending: Ending::default(),
            crowd: Crowd::new(Tasks::default(), usize::MAX),
        }
    }

    /// G14: a connection whose client takes no bytes ends, and the viewers on it with it. README "HTTP/2" has the time.
    #[tokio::test]
    async fn a_connection_that_takes_no_byte_for_45_s_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (offers, mut offered) = mpsc::channel(1);
        let mut served = JoinSet::new();
        served.spawn(serve(exchange(offers), Socket::plain(listener.accept().await.unwrap().0)));
        let mut windows = client::Builder::new();
        windows.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let (mut requests, mut connection) = windows.handshake::<_, Bytes>(socket).await.unwrap();
        let open = async {
            while !requests.is_extended_connect_protocol_enabled() {
                yield_now().await;
            }
            let connect = Request::builder().method(Method::CONNECT).uri("https://pod/watch");
            let connect = connect.extension(Protocol::from_static("websocket")).body(()).unwrap();
            let (answer, out) = requests.send_request(connect, false).unwrap();
            (answer.await.unwrap(), out)
        };
        let _opened = tokio::select! {
            opened = open => opened,
            end = &mut connection => panic!("{end:?}"),
        };
        let mut tunnel = offered.recv().await.unwrap().take().unwrap().await.unwrap();

        // From here on nothing moves the client's connection, and time passes whenever nothing else happens.
        tokio::time::pause();
        let begin = Instant::now();
        let fill = async { while tunnel.write_all(&[0; 4_096]).await.is_ok() {} };
        let end = async { tokio::join!(fill, served.join_next()) };
        timeout(Duration::from_secs(3_600), end).await.expect("the end of the connection");
        let seconds = begin.elapsed().as_secs();
        assert!((45..60).contains(&seconds), "{seconds} s");
        drop(connection);
    }
}
