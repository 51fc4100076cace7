//! A server of a few lines that keeps the protocol, or breaks it in one way.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpSocket, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

/// What the fake does wrong; seq-bound faults meet the first viewer of each stream only.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    Lose(u64),
    LoseFrom(u64),
    Duplicate(u64),
    Swap(u64),
    Late(u64, Duration),
    GarbageText(u64),
    MaskedFrame(u64),
    Cut(u64),
    Close(u64, u16),
    Skip(u64),
    Forge(u64),
    SilentReset(u64),
    /// For everybody.
    LoseForAll(u64),
    Accepts,
    SaysNothingAfter101,
    /// Answers each handshake so late.
    SlowHello(Duration),
    Status(u16),
    NoAcks,
    Refuses,
    IgnoresAfter,
    LosesOnResume,
    /// A post that is stored before the connection dies: the poster must repeat it.
    CutsPoster(u64),
}

struct Shared {
    fault: Fault,
    connections: AtomicU32,
    pongs: AtomicU32,
    /// Guards every stream's log and subscribers.
    streams: Mutex<HashMap<String, Stream>>,
}

#[derive(Default)]
struct Stream {
    log: Vec<Value>,
    by_key: HashMap<String, usize>,
    subscribers: Vec<mpsc::UnboundedSender<Value>>,
    joined: u32,
}

/// A running fake; dropping it ends it.
pub(crate) struct Fake {
    pub(crate) url: String,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Fake {
    pub(crate) fn start(fault: Fault) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Small, so that a viewer who does not read is noticed after a few frames.
        socket.set_send_buffer_size(4096).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1024).unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let (connections, pongs) = (AtomicU32::new(0), AtomicU32::new(0));
        let shared = Arc::new(Shared { fault, connections, pongs, streams: Mutex::default() });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self { url, shared, _tasks: tasks }
    }

    pub(crate) fn pongs(&self) -> u32 {
        self.shared.pongs.load(Ordering::Relaxed)
    }

    pub(crate) fn connections(&self) -> u32 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        shared.connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(serve(socket, Arc::clone(&shared)));
    }
}

/// What a request's head says.
struct Head {
    stream: String,
    after: Option<usize>,
    key: String,
    idempotency: String,
    length: usize,
    post: bool,
}

async fn read_head(reader: &mut (impl AsyncReadExt + Unpin)) -> Option<Head> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(reader.read_u8().await.ok()?);
    }
    let text = String::from_utf8(text).unwrap();
    let path = text.split(' ').nth(1).unwrap();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
        line.map_or(String::new(), |line| line[name.len()..].trim().to_owned())
    };
    let after = path.split("after=e.").nth(1).map(|after| after.split('&').next().unwrap().parse().unwrap());
    Some(Head {
        stream: path.split('/').nth(3).unwrap().to_owned(),
        after,
        key: field("sec-websocket-key:"),
        idempotency: field("idempotency-key:"),
        length: field("content-length:").parse().unwrap_or(0),
        post: text.starts_with("POST"),
    })
}

async fn serve(socket: TcpStream, shared: Arc<Shared>) {
    let (reader, mut writer) = socket.into_split();
    let mut reader = BufReader::new(reader);
    if shared.fault == Fault::Accepts {
        // Reads until the tester gives up, and says nothing.
        let _ = tokio::io::copy(&mut reader, &mut tokio::io::sink()).await;
        return;
    }
    while let Some(head) = read_head(&mut reader).await {
        if let Fault::Status(status) = shared.fault {
            let _ = writer
                .write_all(format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n").as_bytes())
                .await;
            return;
        }
        if !head.post {
            return watch(reader, writer, head, shared).await;
        }
        let mut body = vec![0; head.length];
        reader.read_exact(&mut body).await.unwrap();
        let answer = rest(&shared, &head, &body);
        if writer.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn rest(shared: &Shared, head: &Head, body: &[u8]) -> String {
    let post: Value = serde_json::from_slice(body).unwrap();
    let (status, answer) = if shared.fault == Fault::Refuses {
        (429, json!({"code": "rate_limited", "title": "slow down"}))
    } else {
        (201, shared.publish(&head.stream, &post, &head.idempotency))
    };
    let answer = answer.to_string();
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
        answer.len()
    )
}

impl Shared {
    /// Stores a post, or finds it again; the answer without type and ref.
    fn publish(&self, stream: &str, post: &Value, key: &str) -> Value {
        let mut streams = self.streams.lock();
        let stream = streams.entry(stream.to_owned()).or_default();
        if let Some(place) = stream.by_key.get(key) {
            return json!({"id": format!("c{place}"), "seq": place, "duplicate": true});
        }
        let seq = stream.log.len() + 1;
        let kind = post["kind"].as_str().unwrap_or("comment");
        let comment = json!({"id": format!("c{seq}"), "seq": seq, "kind": kind, "author": {"id": "a", "name": "A"},
            "body": post["body"], "data": post["data"], "at": 1});
        stream.by_key.insert(key.to_owned(), seq);
        stream.log.push(comment.clone());
        stream.subscribers.retain(|subscriber| subscriber.send(comment.clone()).is_ok());
        json!({"id": format!("c{seq}"), "seq": seq, "duplicate": false})
    }
}

fn comments(comments: &[Value], seq: u64) -> Vec<u8> {
    text(&json!({"type": "comments", "comments": comments, "position": format!("e.{seq}")}))
}

fn text(value: &Value) -> Vec<u8> {
    frame(0x81, value.to_string().as_bytes())
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        n @ ..126 => frame.push(n as u8),
        n => frame.extend([126, (n >> 8) as u8, n as u8]),
    }
    frame.extend_from_slice(payload);
    frame
}

async fn read_frame(reader: &mut BufReader<OwnedReadHalf>) -> Option<(u8, Vec<u8>)> {
    let first = reader.read_u8().await.ok()?;
    let second = reader.read_u8().await.ok()?;
    assert!(second & 0x80 != 0, "a client's frame is masked");
    let length = match second & 0x7F {
        126 => usize::from(reader.read_u16().await.ok()?),
        short => usize::from(short),
    };
    let mut bytes = vec![0; 4 + length];
    reader.read_exact(&mut bytes).await.ok()?;
    let (mask, payload) = bytes.split_at(4);
    Some((first & 0x0F, payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()))
}

async fn watch(
    reader: BufReader<OwnedReadHalf>,
    mut writer: OwnedWriteHalf,
    head: Head,
    shared: Arc<Shared>,
) {
    let accept = loadtest::accept_key(&head.key);
    let switch = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    let (subscriber, live) = mpsc::unbounded_channel();
    let (history, first) = {
        let mut streams = shared.streams.lock();
        let stream = streams.entry(head.stream.clone()).or_default();
        stream.subscribers.push(subscriber);
        stream.joined += 1;
        let from = match (head.after, shared.fault) {
            (Some(_), Fault::IgnoresAfter) => 0,
            (Some(after), Fault::LosesOnResume) => stream.log.len().min(after + 1),
            (Some(after), _) => after,
            (None, _) => stream.log.len(),
        };
        (stream.log.split_off_copy(from), stream.joined == 1)
    };
    let resumed = if head.after.is_some() { "all" } else { "fresh" };
    let hello = json!({"type": "hello", "stream": head.stream, "resumed": resumed, "rights": [],
        "position": format!("e.{}", head.after.unwrap_or(0))});
    if let Fault::SlowHello(by) = shared.fault {
        sleep(by).await;
    }
    let mut opening = switch.into_bytes();
    if shared.fault != Fault::SaysNothingAfter101 {
        opening.extend(text(&hello));
        opening.extend(frame(0x89, b"are you there"));
        for comment in &history {
            let seq = comment["seq"].as_u64().unwrap();
            opening.extend(text(&json!({"type": "comments", "comments": [comment], "history": true, "position": format!("e.{seq}")})));
        }
    }
    if writer.write_all(&opening).await.is_err() {
        return;
    }
    let (answers, answered) = mpsc::unbounded_channel();
    let mut halves = JoinSet::new();
    halves.spawn(listen(reader, head.stream, Arc::clone(&shared), answers));
    let fault = if first { shared.fault } else { everybodys(shared.fault) };
    halves.spawn(speak(writer, fault, live, answered));
    halves.join_next().await;
}

trait SplitOffCopy {
    fn split_off_copy(&self, from: usize) -> Self;
}

impl SplitOffCopy for Vec<Value> {
    fn split_off_copy(&self, from: usize) -> Self {
        self.get(from..).unwrap_or_default().to_vec()
    }
}

fn everybodys(fault: Fault) -> Fault {
    match fault {
        Fault::LoseForAll(seq) => Fault::Lose(seq),
        _ => Fault::None,
    }
}

/// The viewer's side: posts and pongs.
async fn listen(
    mut reader: BufReader<OwnedReadHalf>,
    stream: String,
    shared: Arc<Shared>,
    answers: mpsc::UnboundedSender<Value>,
) {
    while let Some((opcode, payload)) = read_frame(&mut reader).await {
        match opcode {
            0x8 => return,
            0xA => {
                assert_eq!(payload, b"are you there");
                shared.pongs.fetch_add(1, Ordering::Relaxed);
            }
            _ => {
                let post: Value = serde_json::from_slice(&payload).unwrap();
                assert_eq!(post["type"], "post");
                let mut answer = match shared.fault {
                    Fault::Refuses => {
                        json!({"type": "error", "code": "rate_limited", "message": "slow down"})
                    }
                    _ => shared.publish(&stream, &post, post["id"].as_str().unwrap()),
                };
                if matches!(shared.fault, Fault::CutsPoster(seq) if answer["seq"] == seq && answer["duplicate"] == false)
                {
                    return;
                }
                if shared.fault != Fault::Refuses {
                    answer["type"] = json!("posted");
                }
                answer["ref"] = post["ref"].clone();
                if shared.fault != Fault::NoAcks {
                    let _ = answers.send(answer);
                }
            }
        }
    }
}

/// The server's side: comments and answers; a viewer who takes nothing for a while is cut.
async fn speak(
    mut writer: OwnedWriteHalf,
    fault: Fault,
    mut live: mpsc::UnboundedReceiver<Value>,
    mut answers: mpsc::UnboundedReceiver<Value>,
) {
    let mut held = Vec::new();
    loop {
        let bytes = tokio::select! {
            Some(answer) = answers.recv() => text(&answer),
            Some(comment) = live.recv() => match spoil(fault, comment, &mut held).await {
                Some(bytes) => bytes,
                None => return,
            },
            else => return,
        };
        if !matches!(timeout(Duration::from_millis(300), writer.write_all(&bytes)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// The bytes for one comment with the fault in them; `None` cuts the connection.
async fn spoil(fault: Fault, mut comment: Value, held: &mut Vec<u8>) -> Option<Vec<u8>> {
    let seq = comment["seq"].as_u64().unwrap();
    let good = comments(&[comment.clone()], seq);
    Some(match fault {
        Fault::Lose(at) | Fault::LoseForAll(at) if at == seq => Vec::new(),
        Fault::LoseFrom(at) if at <= seq => Vec::new(),
        Fault::Duplicate(at) if at == seq => [good.clone(), good].concat(),
        Fault::Swap(at) if at == seq => {
            *held = good;
            Vec::new()
        }
        Fault::Swap(at) if at + 1 == seq => [good, std::mem::take(held)].concat(),
        Fault::Late(at, by) if at == seq => {
            sleep(by).await;
            good
        }
        Fault::GarbageText(at) if at == seq => [frame(0x81, b"{\"type\":\"comments\""), good].concat(),
        Fault::MaskedFrame(at) if at == seq => vec![0x81, 0x80, 1, 2, 3, 4],
        Fault::Cut(at) if at == seq => return None,
        Fault::Close(at, code) if at == seq => frame(0x88, &code.to_be_bytes()),
        Fault::Skip(at) if at == seq => {
            text(&json!({"type": "skipped", "count": 1, "position": format!("e.{seq}")}))
        }
        Fault::Forge(at) if at == seq => {
            comment["body"] = json!("buy now");
            comments(&[comment], seq)
        }
        Fault::SilentReset(at) if at <= seq => {
            text(&json!({"type": "comments", "comments": [comment], "position": format!("f.{seq}")}))
        }
        _ => good,
    })
}
