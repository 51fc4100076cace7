//! What a viewer is sent: one function a frame.

use std::ops::Range;

use bytes::Bytes;
use serde::Serialize;

use super::{Code, Entry, SharedFrame, frame::header_bytes};
use crate::domain::{Accepted, Position, Refusal, Right, StreamId};

/// How a join relates to the position that the viewer came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resumed {
    /// It came with none.
    Fresh,
    /// Everything after it follows.
    All,
    /// Some entries after it are trimmed; a `gap` follows at once.
    Gap,
    /// It belongs to another history; a `reset` follows at once.
    Reset,
}

impl Resumed {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::All => "all",
            Self::Gap => "gap",
            Self::Reset => "reset",
        }
    }
}

/// Why a viewer is asked to connect again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReconnectReason {
    /// The pod goes away.
    Drain,
    /// The pod has more viewers than its share.
    Rebalance,
    /// The pod takes no further viewers for now: the answer to a refused handshake, before any `hello`.
    NotAccepting,
}

/// The first frame of a join.
#[derive(Debug, Serialize)]
pub struct Hello<'a> {
    /// The stream that is watched.
    #[serde(serialize_with = "display")]
    pub stream: &'a StreamId,
    /// This socket's own name.
    pub session: &'a str,
    /// The secret by which a guest is the same on its next socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_secret: Option<&'a str>,
    /// The place before the first frame that follows.
    #[serde(serialize_with = "display")]
    pub position: Position,
    /// How that place relates to `after`.
    pub resumed: Resumed,
    /// How many watch the stream, on all pods.
    pub viewers: u64,
    /// What this viewer may do.
    pub rights: Vec<Right>,
    /// The least time between two comments of one viewer, in milliseconds.
    pub slow_mode_ms: u64,
    /// Whether nobody may post.
    pub closed: bool,
    /// The server pings a socket at least this often, in milliseconds.
    pub ping_ms: u64,
    /// Bounds of the random wait before connecting again.
    pub reconnect: ReconnectWait,
    /// The pod's name.
    pub pod: &'a str,
    /// The pod's track.
    pub track: &'a str,
    /// The pod's time, in milliseconds since the Unix epoch.
    pub server_time: u64,
}

/// Bounds of the random wait before connecting again, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ReconnectWait {
    /// The least wait.
    pub min_ms: u64,
    /// The longest wait.
    pub max_ms: u64,
}

impl ReconnectWait {
    /// What every viewer is told: long enough to spread a stream's viewers, short enough not to be noticed.
    pub const DEFAULT: Self = Self { min_ms: 100, max_ms: 3_000 };
}

fn display<T: std::fmt::Display, S: serde::Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn frame(kind: &'static str, fields: impl Serialize) -> SharedFrame {
    #[derive(Serialize)]
    struct Typed<T> {
        r#type: &'static str,
        #[serde(flatten)]
        fields: T,
    }
    // Fields of this module's own types: strings, numbers and lists of them, which JSON always holds.
    SharedFrame::text(&serde_json::to_vec(&Typed { r#type: kind, fields }).unwrap_or_default())
}

/// `hello`.
#[must_use]
pub fn hello(hello: &Hello<'_>) -> SharedFrame {
    frame("hello", hello)
}

/// A live comment: its frame, and where in it the comment's own JSON object stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveComment {
    /// The frame for every viewer.
    pub frame: SharedFrame,
    object: Range<usize>,
}

impl LiveComment {
    /// The comment's JSON object; shares the frame's bytes.
    #[must_use]
    pub fn object(&self) -> Bytes {
        self.frame.bytes().slice(self.object.clone())
    }
}

/// `comments` with one comment: the header and the fragment, spliced.
#[must_use]
pub fn comment(entry: &Entry, history: bool) -> LiveComment {
    const OPEN: &str = r#"{"type":"comments","comments":["#;
    let mut text = Vec::with_capacity(OPEN.len() + entry.fragment.0.len() + 160);
    text.extend_from_slice(OPEN.as_bytes());
    object(entry, &mut text);
    let end = text.len();
    let history = if history { r#","history":true"# } else { "" };
    text.extend_from_slice(format!(r#"],"position":"{}"{history}}}"#, entry.position()).as_bytes());
    let header = header_bytes(text.len());
    LiveComment { frame: SharedFrame::text(&text), object: header + OPEN.len()..header + end }
}

/// Appends an entry's JSON object.
pub(super) fn object(entry: &Entry, text: &mut Vec<u8>) {
    text.extend_from_slice(format!(r#"{{"seq":{},"at":{},"#, entry.seq, entry.at_ms).as_bytes());
    text.extend_from_slice(&entry.fragment.0);
    text.push(b'}');
}

/// `skipped`: so many comments were left out, up to the position.
#[must_use]
pub fn skipped(count: u64, position: Position) -> SharedFrame {
    frame("skipped", Placed { fields: Count { count }, position })
}

/// `gap`: the entries numbered `from` to `to` cannot be recovered.
#[must_use]
pub fn gap(from: u64, to: u64, position: Position) -> SharedFrame {
    frame("gap", Placed { fields: Span { from, to }, position })
}

/// `reset`: the history began anew; what it holds follows.
#[must_use]
pub fn reset(position: Position) -> SharedFrame {
    frame("reset", Placed { fields: Nothing {}, position })
}

#[derive(Serialize)]
struct Placed<T> {
    #[serde(flatten)]
    fields: T,
    #[serde(serialize_with = "display")]
    position: Position,
}

#[derive(Serialize)]
struct Count {
    count: u64,
}

#[derive(Serialize)]
struct Span {
    from: u64,
    to: u64,
}

#[derive(Serialize)]
struct Nothing {}

/// `posted`: the comment is in the stream's history.
#[must_use]
pub fn posted(reference: Option<&str>, accepted: &Accepted) -> SharedFrame {
    #[derive(Serialize)]
    struct Posted<'a> {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        id: &'a str,
        seq: u64,
        duplicate: bool,
    }
    let Accepted { id, seq, duplicate } = accepted;
    frame("posted", Posted { reference, id: id.as_str(), seq: *seq, duplicate: *duplicate })
}

/// `error`: what the viewer asked for was not done.
#[must_use]
pub fn error(reference: Option<&str>, code: Code, message: &str) -> SharedFrame {
    frame("error", Error { reference, code, message, retry_ms: None })
}

/// `error`: a post was refused; who posted too often is told when to try again.
#[must_use]
pub fn refused(reference: Option<&str>, refusal: &Refusal) -> SharedFrame {
    let retry_ms = match refusal {
        Refusal::RateLimited { retry_ms } => Some(*retry_ms),
        _ => None,
    };
    frame("error", Error { reference, code: Code::from(refusal), message: &refusal.to_string(), retry_ms })
}

#[derive(Serialize)]
struct Error<'a> {
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    code: Code,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_ms: Option<u64>,
}

/// `viewers`: how many watch the stream, on all pods.
#[must_use]
pub fn viewers(viewers: u64) -> SharedFrame {
    #[derive(Serialize)]
    struct Viewers {
        viewers: u64,
    }
    frame("viewers", Viewers { viewers })
}

/// `reconnect`: please open a new socket with `after`, then close this one. Before `hello`: not before that time.
#[must_use]
pub fn reconnect(within_ms: u64, reason: ReconnectReason) -> SharedFrame {
    #[derive(Serialize)]
    struct Reconnect {
        within_ms: u64,
        reason: ReconnectReason,
    }
    frame("reconnect", Reconnect { within_ms, reason })
}

/// `expiring`: the viewer's token ends soon; it should send `refresh`.
#[must_use]
pub fn expiring(in_ms: u64) -> SharedFrame {
    #[derive(Serialize)]
    struct Expiring {
        in_ms: u64,
    }
    frame("expiring", Expiring { in_ms })
}

/// `pong`: answers `ping`, with the pod's time in milliseconds since the Unix epoch.
#[must_use]
pub fn pong(server_time: u64) -> SharedFrame {
    #[derive(Serialize)]
    struct Pong {
        server_time: u64,
    }
    frame("pong", Pong { server_time })
}

/// A WebSocket ping of this number: its pong repeats it.
#[must_use]
pub fn ping(number: u32) -> SharedFrame {
    SharedFrame::ping(number)
}
