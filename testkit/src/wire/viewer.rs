//! A viewer: a good WebSocket client that keeps a log of what it was sent.

use std::{net::SocketAddr, pin::Pin, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    net::TcpSocket,
    time::{Instant, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        http::{HeaderName, HeaderValue},
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

use super::{
    private::{self, Stream},
    throttle::Throttled,
};
use crate::{Http2, PATIENCE, Pod, contract};

/// How to join a stream.
#[derive(Debug, Clone)]
pub struct Join {
    address: SocketAddr,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    receive_buffer: Option<u32>,
    reads: Option<usize>,
    token: Option<String>,
}

/// A viewer that has its `hello`.
pub struct Viewer {
    socket: WebSocketStream<Box<dyn Stream>>,
    /// Every frame, in order.
    pub log: Vec<Frame>,
    /// Every comment, in order.
    pub seen: Vec<Seen>,
    /// The position to resume from.
    pub position: String,
    /// How the socket was closed, once it is: with a close code, or cut.
    pub closed: Option<Option<u16>>,
    references: u32,
}

/// A frame as it came.
#[derive(Debug)]
pub struct Frame {
    /// The frame's content.
    pub json: Value,
    /// The length of its text, in bytes.
    pub bytes: usize,
}

impl Frame {
    /// Whether the frame is of this type.
    pub fn is(&self, kind: &str) -> bool {
        self.json["type"] == kind
    }
}

/// A comment as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The number in the stream.
    pub seq: u64,
    /// The comment's id.
    pub id: String,
    /// The author's id.
    pub author: String,
    /// The text.
    pub body: String,
}

/// A handshake that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: u16,
    /// The seconds of its `Retry-After`.
    pub retry_after_s: Option<u64>,
}

impl Join {
    /// Joins at a pod.
    pub fn new(pod: &Pod, stream: &str) -> Self {
        Self::at(pod.public, stream)
    }

    /// Joins wherever this address leads.
    pub fn at(address: SocketAddr, stream: &str) -> Self {
        let path = format!("{}?", Pod::watch_path(stream));
        Self { address, path, headers: Vec::new(), receive_buffer: None, reads: None, token: None }
    }

    /// Goes on after a position.
    pub fn after(mut self, position: &str) -> Self {
        self.path.push_str(&format!("after={position}&"));
        self
    }

    /// Comes with a name.
    pub fn named(mut self, name: &str) -> Self {
        self.path.push_str(&format!("name={name}&"));
        self
    }

    /// Comes with another parameter in the query.
    pub fn with_query(mut self, name: &str, value: &str) -> Self {
        self.path.push_str(&format!("{name}={value}&"));
        self
    }

    /// Comes with another header.
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((HeaderName::from_static(name), value.parse().unwrap()));
        self
    }

    /// Comes with a token.
    pub fn bearing(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The kernel keeps little for this viewer: what it does not read, the server has to wait for.
    pub const fn short_of_buffer(mut self) -> Self {
        self.receive_buffer = Some(4_096);
        self
    }

    /// Asks for a receive buffer of so many bytes, which the kernel then neither grows nor shrinks. Linux takes twice
    /// as many, for its own overhead.
    pub const fn with_receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Reads at most so many bytes a second.
    pub const fn reading(mut self, bytes_a_second: usize) -> Self {
        self.reads = Some(bytes_a_second);
        self
    }

    /// Connects and waits for `hello`.
    pub async fn open(&self) -> Viewer {
        self.try_open().await.expect("a pod that takes viewers")
    }

    /// Connects, if the pod is there and takes viewers, and waits for `hello`.
    pub async fn try_open(&self) -> Option<Viewer> {
        let mut viewer = self.connect().await?;
        let is_answer = |viewer: &Viewer| viewer.has("hello") || viewer.has("reconnect");
        viewer.until("hello, or a refusal", is_answer).await;
        viewer.has("hello").then_some(viewer)
    }

    /// Connects, if the pod is there, and waits for nothing.
    pub async fn connect(&self) -> Option<Viewer> {
        self.attempt().await.ok()
    }

    /// Connects and waits for nothing; tells what the pod says if it refuses, and nothing if there is none.
    pub async fn attempt(&self) -> Result<Viewer, Option<Refusal>> {
        if private::is_watched_over_http2(self.address) {
            let attempt: Pin<Box<dyn Future<Output = _> + Send + '_>> = Box::pin(self.attempt_over_http2());
            return attempt.await;
        }
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let mut socket = private::dial_from(socket, self.address).await.map_err(|_| None)?;
        if let Some(reads) = self.reads {
            socket = Box::new(Throttled::new(socket, reads));
        }
        let mut request = format!("ws://{}{}", self.address, self.path).into_client_request().unwrap();
        request.headers_mut().extend(self.headers.iter().cloned());
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {token}").parse().unwrap();
            request.headers_mut().insert("authorization", bearer);
        }
        let (socket, _) = client_async(request, socket).await.map_err(|error| match error {
            Error::Http(answer) => {
                let retry_after = answer.headers().get("retry-after");
                let retry_after_s = retry_after.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
                Some(Refusal { status: answer.status().as_u16(), retry_after_s })
            }
            _ => None,
        })?;
        Ok(Viewer::on(socket))
    }

    async fn attempt_over_http2(&self) -> Result<Viewer, Option<Refusal>> {
        let connection = Http2::reading(self.address, self.receive_buffer, self.reads).await.ok_or(None)?;
        self.attempt_on(&connection).await
    }

    /// The same as [`Self::attempt`], as a stream of a connection of HTTP/2.
    pub async fn attempt_on(&self, connection: &Http2) -> Result<Viewer, Option<Refusal>> {
        let mut headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        headers.extend(bearer.iter().map(|bearer| ("authorization", bearer.as_str())));
        let stream = connection.websocket(&self.path, &headers).await.map_err(|answer| {
            answer.map(|answer| Refusal {
                status: answer.status,
                retry_after_s: answer.header("retry-after").map(|seconds| seconds.parse().unwrap()),
            })
        })?;
        Ok(Viewer::on(WebSocketStream::from_raw_socket(stream, Role::Client, None).await))
    }

    /// The same as [`Self::open`], as a stream of a connection of HTTP/2.
    pub async fn open_on(&self, connection: &Http2) -> Viewer {
        let mut viewer = self.attempt_on(connection).await.expect("a pod that takes viewers");
        viewer.until("hello", |viewer| viewer.has("hello")).await;
        viewer
    }
}

impl Viewer {
    fn on(socket: WebSocketStream<Box<dyn Stream>>) -> Self {
        Self {
            socket,
            log: Vec::new(),
            seen: Vec::new(),
            position: String::new(),
            closed: None,
            references: 0,
        }
    }

    /// Reads one frame into the log; false if the socket is closed.
    pub async fn read(&mut self) -> bool {
        self.read_by(Instant::now() + PATIENCE).await.unwrap_or_else(|| panic!("silence; {}", self.tail()))
    }

    /// Reads one frame into the log; false if the socket is closed, none if nothing comes in time.
    pub async fn try_read(&mut self, within: Duration) -> Option<bool> {
        self.read_by(Instant::now() + within).await
    }

    /// What came since this was last asked; the log is empty after it.
    pub fn take_frames(&mut self) -> Vec<Value> {
        self.seen.clear();
        self.log.drain(..).map(|frame| frame.json).collect()
    }

    /// Reads one frame; none if none comes in time.
    async fn read_by(&mut self, deadline: Instant) -> Option<bool> {
        if self.closed.is_some() {
            return Some(false);
        }
        loop {
            match timeout_at(deadline, self.socket.next()).await.ok()? {
                Some(Ok(Message::Text(text))) => {
                    let json: Value = serde_json::from_str(&text).unwrap();
                    self.note(json, text.len());
                    return Some(true);
                }
                Some(Ok(Message::Close(frame))) => {
                    frame.iter().for_each(|frame| contract::close(frame.code.into(), &frame.reason));
                    self.closed = Some(frame.map(|frame| frame.code.into()));
                    // The answer to it goes out with the next read.
                    let _ = timeout_at(deadline, self.socket.next()).await;
                    return Some(false);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    self.closed = Some(None);
                    return Some(false);
                }
            }
        }
    }

    fn note(&mut self, json: Value, bytes: usize) {
        contract::frame(&json);
        if let Some(position) = json["position"].as_str() {
            position.clone_into(&mut self.position);
        }
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        for comment in json["comments"].as_array().into_iter().flatten() {
            self.seen.push(Seen {
                seq: comment["seq"].as_u64().unwrap(),
                id: text(&comment["id"]),
                author: text(&comment["author"]["id"]),
                body: text(&comment["body"]),
            });
        }
        self.log.push(Frame { json, bytes });
    }

    /// Reads, and so answers pings, until the work is done.
    pub async fn while_reading<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                read = self.try_read(Duration::from_secs(1)) => if read == Some(false) { return work.await },
            }
        }
    }

    /// Reads until the log is as wanted.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(self) {
            let read = self.read_by(deadline).await;
            assert!(read == Some(true), "{what}: {read:?}, closed {:?}, {}", self.closed, self.tail());
        }
    }

    /// Reads until it has so many comments.
    pub async fn comments(&mut self, count: usize) {
        self.until("comments", |viewer| viewer.seen.len() >= count).await;
    }

    /// Reads until the socket is closed; returns the close code, if there was one.
    pub async fn until_closed(&mut self) -> Option<u16> {
        while self.read().await {}
        self.closed.flatten()
    }

    fn tail(&self) -> String {
        let from = self.log.len().saturating_sub(3);
        format!("{} frames, the last are {:?}", self.log.len(), &self.log[from..])
    }

    /// Whether a frame of this type came.
    pub fn has(&self, kind: &str) -> bool {
        self.all(kind).next().is_some()
    }

    /// All frames of a type.
    pub fn all(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.log.iter().filter(move |frame| frame.is(kind)).map(|frame| &frame.json)
    }

    /// The `hello`.
    pub fn hello(&self) -> &Value {
        self.all("hello").next().unwrap()
    }

    /// The numbers of all comments, in the order in which they came.
    pub fn seqs(&self) -> Vec<u64> {
        self.seen.iter().map(|seen| seen.seq).collect()
    }

    /// Closes with 1000.
    pub async fn bye(&mut self) {
        let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.socket.close(Some(close)).await.unwrap();
    }

    /// Sends a message.
    pub async fn send(&mut self, text: impl Into<String>) {
        assert!(self.try_send(text).await);
    }

    /// Sends a message; false if the socket is gone.
    pub async fn try_send(&mut self, text: impl Into<String>) -> bool {
        self.socket.send(Message::text(text.into())).await.is_ok()
    }

    /// Sends a post and reads until its answer comes: `posted` or `error`.
    pub async fn post(&mut self, mut message: Value) -> Value {
        self.references += 1;
        let reference = Value::from(format!("r{}", self.references));
        message["type"] = "post".into();
        message["ref"] = reference.clone();
        self.send(message.to_string()).await;
        let is_answer = |frame: &&Frame| frame.json["ref"] == reference;
        self.until("an answer", |viewer| viewer.log.iter().rev().take(64).any(|frame| is_answer(&frame)))
            .await;
        self.log.iter().rev().find(is_answer).unwrap().json.clone()
    }

    /// Posts a text that must be accepted; returns its number.
    pub async fn say(&mut self, body: &str) -> u64 {
        let answer = self.post(json!({"body": body})).await;
        assert_eq!(answer["type"], "posted", "{answer}");
        answer["seq"].as_u64().unwrap()
    }

    /// Sends a ping and reads until its answer comes: everything sent before it was read by the server.
    pub async fn ping(&mut self) {
        let before = self.all("pong").count();
        self.send(r#"{"type":"ping"}"#).await;
        self.until("pong", |viewer| viewer.all("pong").count() > before).await;
    }

    /// Whether it was sent anything of these numbers twice, or left any out.
    pub fn assert_contiguous(&self, from: u64) {
        let expected: Vec<_> = (from..).take(self.seen.len()).collect();
        assert_eq!(self.seqs(), expected);
    }
}
