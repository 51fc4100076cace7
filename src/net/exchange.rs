//! One HTTP connection: its requests, the deadline of each head, and the headers that tell the client when it ends.

use std::{
    convert::Infallible,
    future::Future as _,
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    body::{Bytes, HttpBody},
    http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header},
};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Sleep, sleep},
};

use super::{crowd::Crowd, ending::Ending, peer::PeerInfo, socket::Socket};

/// The time from the first byte of a request to the end of its headers.
pub(super) const HEAD_DEADLINE: Duration = Duration::from_secs(5);

/// The limits of an HTTP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// The time that a connection is kept between two requests.
    pub idle: Duration,
    /// The most bytes of a request's line and headers; more are answered with 431.
    pub head_bytes: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { idle: Duration::from_secs(75), head_bytes: 16 * 1024 }
    }
}

/// The parts that serve the requests of one connection.
pub(super) struct Exchange {
    pub(super) peer_info: PeerInfo,
    pub(super) router: Router,
    pub(super) limits: HttpLimits,
    pub(super) ending: Ending,
    pub(super) crowd: Crowd,
}

impl Exchange {
    /// Serves the requests of a connection until one side ends it.
    pub(super) async fn serve(self, socket: Socket) {
        let progress = Arc::new(RequestProgress::default());
        let (limits, exchange) = (self.limits, Arc::new(self));
        let ending = exchange.ending.clone();
        let stream = RequestStream::new(socket, Arc::clone(&progress));
        let service = service_fn(move |request| {
            progress.begin();
            let (exchange, progress) = (Arc::clone(&exchange), Arc::clone(&progress));
            async move { exchange.answer(request, &progress).await }
        });
        let http = http1::Builder::new()
            .timer(TokioTimer::new())
            // The time that it waits for a head, which begins when the last answer is written.
            .header_read_timeout(limits.idle)
            .max_buf_size(limits.head_bytes)
            // The buffer may be larger than it is asked to be.
            .max_header_size(limits.head_bytes)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut http = pin!(http);
        let served = tokio::select! {
            served = http.as_mut() => served,
            () = ending.closed() => {
                http.as_mut().graceful_shutdown();
                http.await
            }
        };
        if let Err(error) = served {
            tracing::trace!(%error, "an HTTP connection ended early");
        }
    }

    /// Answers a request, once the answers before it are on their way: for a client that reads none, no more are made.
    async fn answer(
        &self,
        mut request: Request<Incoming>,
        progress: &RequestProgress,
    ) -> Result<Response<axum::body::Body>, Infallible> {
        progress.writable().await;
        let persistence = Persistence::of(&request);
        request.extensions_mut().insert(self.peer_info);
        let request = request.map(Inbound::new);
        let rest = request.body().rest.clone();
        let mut answer = TowerToHyperService::new(self.router.clone()).call(request).await?;
        progress.end();
        let ends = self.ending.is_announced() || self.crowd.is_large() || rest.is_unread();
        persistence.answer(&mut answer, ends, self.limits.idle);
        Ok(answer)
    }
}

/// The progress of a connection's requests, which its stream and its service share.
#[derive(Debug, Default)]
pub(super) struct RequestProgress {
    /// The number of requests whose head was read.
    requests: AtomicUsize,
    /// Whether a request waits for its answer.
    is_busy: AtomicBool,
    /// Whether the socket takes no bytes.
    is_full: AtomicBool,
    /// Told when it takes bytes again.
    emptied: Notify,
}

impl RequestProgress {
    pub(super) fn begin(&self) {
        self.is_busy.store(true, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.is_busy.store(false, Ordering::Relaxed);
    }

    /// Returns once the socket takes bytes.
    pub(super) async fn writable(&self) {
        loop {
            let emptied = self.emptied.notified();
            if !self.is_full.load(Ordering::Relaxed) {
                return;
            }
            emptied.await;
        }
    }

    /// Passes on the outcome of a write.
    fn note<T>(&self, wrote: Poll<T>) -> Poll<T> {
        if self.is_full.swap(wrote.is_pending(), Ordering::Relaxed) && wrote.is_ready() {
            self.emptied.notify_waiters();
        }
        wrote
    }
}

/// A connection as hyper reads and writes it: a head that has begun must end within 5 s.
///
/// hyper has one deadline for the wait before a head and for the head itself.
pub struct RequestStream {
    socket: Socket,
    progress: Arc<RequestProgress>,
    /// The number of requests when bytes were read last.
    seen: usize,
    /// Whether a part of a head was read.
    has_begun: bool,
    /// Set with the first wait for the rest of a head; in a box, since few connections ever wait for that.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl RequestStream {
    pub(super) fn new(socket: Socket, progress: Arc<RequestProgress>) -> Self {
        Self { socket, progress, seen: 0, has_begun: false, deadline: None }
    }

    /// The connection itself, once it is upgraded.
    #[must_use]
    pub fn into_socket(self) -> Socket {
        self.socket
    }

    /// Returns whether the head that is being read is overdue.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let is_busy = self.progress.is_busy.load(Ordering::Relaxed);
        if is_busy || !self.has_begun {
            return false;
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(HEAD_DEADLINE)));
        deadline.as_mut().poll(cx).is_ready()
    }

    fn note_requests(&mut self) {
        let requests = self.progress.requests.load(Ordering::Relaxed);
        if requests != self.seen {
            (self.seen, self.has_begun, self.deadline) = (requests, false, None);
        }
    }
}

impl AsyncRead for RequestStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.note_requests();
        let before = into.filled().len();
        match Pin::new(&mut self.socket).poll_read(cx, into) {
            Poll::Pending if self.is_overdue(cx) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
            Poll::Ready(read) => {
                // What comes during a request is its body, or another request in advance.
                self.has_begun |=
                    into.filled().len() > before && !self.progress.is_busy.load(Ordering::Relaxed);
                Poll::Ready(read)
            }
        }
    }
}

impl AsyncWrite for RequestStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.progress.note(wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.progress.note(wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wrote = Pin::new(&mut self.socket).poll_flush(cx);
        self.progress.note(wrote)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// A request's body, which tells whether it was read to its end.
struct Inbound {
    incoming: Incoming,
    rest: Rest,
}

/// The part of a request's body that was not read. Cloning shares it.
#[derive(Debug, Clone, Default)]
struct Rest(Option<Arc<AtomicBool>>);

impl Rest {
    fn is_unread(&self) -> bool {
        self.0.as_ref().is_some_and(|unread| unread.load(Ordering::Relaxed))
    }
}

impl Inbound {
    fn new(incoming: Incoming) -> Self {
        let unread = (!incoming.is_end_stream()).then(|| Arc::new(AtomicBool::new(true)));
        Self { incoming, rest: Rest(unread) }
    }
}

impl HttpBody for Inbound {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        if (frame.is_none() || self.incoming.is_end_stream())
            && let Some(unread) = &self.rest.0
        {
            unread.store(false, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// The persistence that the client asks of its connection after a request (RFC 9112 section 9.3).
#[derive(Debug, Clone, Copy)]
struct Persistence {
    version: Version,
    asks_to_close: bool,
}

impl Persistence {
    fn of<T>(request: &Request<T>) -> Self {
        Self { version: request.version(), asks_to_close: says_close(request.headers()) }
    }

    /// Tells the client whether its connection ends with this answer, or else how long it is kept, so that no request
    /// is sent into a connection that ends.
    fn answer<T>(self, answer: &mut Response<T>, ends: bool, idle: Duration) {
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let says_close = says_close(answer.headers());
        if ends || says_close {
            if self.version == Version::HTTP_10 {
                // hyper would add `keep-alive` to the `close`.
                *answer.version_mut() = Version::HTTP_10;
            }
            if !says_close {
                answer.headers_mut().append(header::CONNECTION, HeaderValue::from_static("close"));
            }
        } else if self.version == Version::HTTP_11
            && !self.asks_to_close
            && let Ok(kept) = HeaderValue::try_from(format!("timeout={}", idle.as_secs()))
        {
            answer.headers_mut().insert(HeaderName::from_static("keep-alive"), kept);
        }
    }
}

pub(super) fn says_close(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|option| option.trim().eq_ignore_ascii_case("close"))
}
