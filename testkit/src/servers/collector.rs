//! A collector of OTLP: takes what pods push, by gRPC or HTTP, and keeps it; or behaves badly.

use std::{
    convert::Infallible,
    io::Read as _,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    trace::v1::Span,
};
use prost::Message;
use serde::de::DeserializeOwned;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

/// How pods speak to a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otlp {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP, in protobuf.
    Http,
    /// OTLP over HTTP, in JSON.
    Json,
}

impl Otlp {
    /// The value of `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
            Self::Json => "http/json",
        }
    }
}

/// How a collector behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Takes everything.
    Takes,
    /// Answers that it cannot.
    Fails,
    /// Says what is neither gRPC nor HTTP.
    Raves,
    /// Takes connections and never answers.
    Hangs,
    /// Takes everything, and answers when the test lets it.
    Slow,
}

/// A collector that listens until the test's process ends.
pub struct Collector {
    /// The address that it listens on.
    pub address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
    answers: Arc<Semaphore>,
}

/// What a collector took.
#[derive(Debug, Default, Clone)]
pub struct Taken {
    /// Requests with metrics.
    pub metrics: Vec<ExportMetricsServiceRequest>,
    /// Requests with spans.
    pub traces: Vec<ExportTraceServiceRequest>,
    /// The headers of every request.
    pub headers: Vec<HeaderMap>,
    /// How many connections there were.
    pub connections: usize,
}

impl Taken {
    /// All spans of a name.
    pub fn spans(&self, name: &str) -> Vec<Span> {
        let resources = self.traces.iter().flat_map(|request| &request.resource_spans);
        let spans = resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
        spans.filter(|span| span.name == name).cloned().collect()
    }
}

impl Collector {
    /// Starts one.
    pub fn start(otlp: Otlp, manner: Manner) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::new(Mutex::new(Taken::default()));
        let answers = Arc::new(Semaphore::new(0));
        let receiver = Receiver { otlp, manner, taken: Arc::clone(&taken), answers: Arc::clone(&answers) };
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(receiver.accept(listener));
        });
        Self { address, taken, answers }
    }

    /// Lets a slow one answer what it has in hand, and all that comes.
    pub fn answer(&self) {
        self.answers.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// What it took so far.
    pub fn taken(&self) -> Taken {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Clone)]
struct Receiver {
    otlp: Otlp,
    manner: Manner,
    taken: Arc<Mutex<Taken>>,
    /// A slow one takes a permit for each answer.
    answers: Arc<Semaphore>,
}

impl Receiver {
    async fn accept(self, listener: std::net::TcpListener) {
        let (listener, mut serving) = (TcpListener::from_std(listener).unwrap(), JoinSet::new());
        let mut held = Vec::new();
        loop {
            let mut socket = tokio::select! {
                Ok((socket, _)) = listener.accept() => socket,
                Some(_) = serving.join_next() => continue,
                else => break,
            };
            self.note(|taken| taken.connections += 1);
            match self.manner {
                Manner::Hangs => held.push(socket),
                Manner::Raves => drop(socket.write_all(b"\xff\0<html> 220 hello\r\n\r\n").await),
                Manner::Takes | Manner::Fails | Manner::Slow => {
                    serving.spawn(self.clone().serve(socket));
                }
            }
        }
    }

    fn note(&self, note: impl FnOnce(&mut Taken)) {
        note(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn serve(self, socket: TcpStream) {
        let (io, otlp) = (TokioIo::new(socket), self.otlp);
        let service = service_fn(move |request| {
            let receiver = self.clone();
            async move { Ok::<_, Infallible>(receiver.answer(request).await) }
        });
        // A pod that goes away in the middle of a request is no fault of the collector.
        let _ = match otlp {
            Otlp::Grpc => http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await,
            Otlp::Http | Otlp::Json => http1::Builder::new().serve_connection(io, service).await,
        };
    }

    /// The message of a request, without gRPC's frame and uncompressed.
    fn message(&self, headers: &HeaderMap, body: Bytes) -> Bytes {
        // gRPC frames a message with a flag, which is 1 for a compressed one, and its length.
        let (is_compressed, message) = if self.otlp == Otlp::Grpc {
            (body.first() == Some(&1), body.slice(5.min(body.len())..))
        } else {
            (headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip"), body)
        };
        if !is_compressed {
            return message;
        }
        let mut plain = Vec::new();
        GzDecoder::new(&message[..]).read_to_end(&mut plain).unwrap();
        plain.into()
    }

    fn read<M: Message + Default + DeserializeOwned>(&self, message: &Bytes) -> M {
        match self.otlp {
            Otlp::Json => serde_json::from_slice(message).unwrap(),
            Otlp::Grpc | Otlp::Http => M::decode(message.clone()).unwrap(),
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<BoxBody> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let message = self.message(&parts.headers, body);
        match self.manner {
            Manner::Takes | Manner::Slow => self.note(|taken| {
                taken.headers.push(parts.headers);
                if parts.uri.path().to_lowercase().contains("metrics") {
                    taken.metrics.push(self.read(&message));
                } else {
                    taken.traces.push(self.read(&message));
                }
            }),
            Manner::Fails => return response(self.otlp, 503, Bytes::new(), "14"),
            Manner::Raves | Manner::Hangs => unreachable!("it answers nobody"),
        }
        if self.manner == Manner::Slow {
            self.answers.acquire().await.unwrap().forget();
        }
        let empty = if self.otlp == Otlp::Grpc { Bytes::from_static(&[0; 5]) } else { Bytes::new() };
        response(self.otlp, 200, empty, "0")
    }
}

type BoxBody = http_body_util::combinators::BoxBody<Bytes, Infallible>;

fn response(otlp: Otlp, status: u16, body: Bytes, grpc_status: &'static str) -> Response<BoxBody> {
    let (kind, trailers) = match otlp {
        Otlp::Grpc => {
            let status = HeaderValue::from_static(grpc_status);
            ("application/grpc", Some(HeaderMap::from_iter([("grpc-status".parse().unwrap(), status)])))
        }
        Otlp::Http => ("application/x-protobuf", None),
        Otlp::Json => ("application/json", None),
    };
    // gRPC's own status says more than HTTP's.
    let status = if otlp == Otlp::Grpc { 200 } else { status };
    let body = Full::new(body).with_trailers(async move { trailers.map(Ok) });
    Response::builder().status(status).header(CONTENT_TYPE, kind).body(BoxBody::new(body)).unwrap()
}
