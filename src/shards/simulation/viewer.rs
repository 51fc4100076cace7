//! A simulated viewer: a socket that takes what it is told to take, and the way to the present of its stream.
//!
//! The way is that of `connection/catchup.rs`, with the same parts of hub and history and without its timers.

use std::{
    io::{self, IoSlice},
    sync::Arc,
};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::parts::LAST_BODY;
use crate::{
    domain::{Position, StreamId},
    hub::{Drained, Located, Mark, Outlet, Seat},
    protocol::{SharedFrame, gap, reset},
    shards::{Past, backend::types::HistorySlice},
};

/// The write side of a viewer's socket.
#[derive(Default)]
struct ViewerSocket {
    bytes: Vec<u8>,
    /// How many bytes it takes still; `None` for any number.
    room: Option<usize>,
}

#[derive(Clone, Default)]
struct SharedViewerSocket(Arc<Mutex<ViewerSocket>>);

impl Outlet for SharedViewerSocket {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let socket = &mut *self.0.lock();
        let mut written = 0;
        for slice in slices {
            let taken = slice.len().min(socket.room.unwrap_or(usize::MAX));
            socket.bytes.extend_from_slice(&slice[..taken]);
            socket.room = socket.room.map(|room| room - taken);
            written += taken;
        }
        if written == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) }
    }
}

/// A viewer.
pub(super) struct SimulatedViewer {
    pub(super) stream: StreamId,
    pub(super) pod: usize,
    /// Tells its visits apart.
    pub(super) visit: u64,
    seat: Option<Seat>,
    socket: SharedViewerSocket,
    way: Way,
    /// The place of the last frame that has one.
    position: Option<Position>,
    /// What it was told, over all visits.
    pub(super) frames: Vec<Value>,
    /// Whether it has its stream's last comment.
    pub(super) has_last: bool,
}

/// Where a joining viewer stands.
#[derive(Clone, Copy)]
enum Way {
    /// Its stream is not open here.
    Closed,
    /// It came with a place that the tape does not know.
    Begin(Position),
    /// It has everything up to this place, which is not on the tape.
    Behind(Position),
    Live,
}

/// What a viewer needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    /// Another step soon.
    Time,
    /// The whole history of its stream.
    History,
    /// It was closed.
    Return,
}

impl SimulatedViewer {
    pub(super) fn new(stream: StreamId) -> Self {
        Self {
            stream,
            pod: 0,
            visit: 0,
            seat: None,
            socket: SharedViewerSocket::default(),
            way: Way::Closed,
            position: None,
            frames: Vec::new(),
            has_last: false,
        }
    }

    pub(super) const fn is_in(&self) -> bool {
        self.seat.is_some()
    }

    pub(super) fn join(&mut self, pod: usize, sit: impl FnOnce(Arc<dyn Outlet>) -> Seat) {
        (self.socket, self.way) = (SharedViewerSocket::default(), Way::Closed);
        self.seat = Some(sit(Arc::new(self.socket.clone())));
        self.pod = pod;
        self.visit += 1;
    }

    pub(super) fn leave(&mut self) {
        self.read();
        self.seat = None;
        self.visit += 1;
    }

    /// From now on the socket takes so many bytes; `None` for any number.
    pub(super) fn limit(&self, room: Option<usize>) {
        self.socket.0.lock().room = room;
    }

    /// Takes the next step towards the present.
    pub(super) fn step(&mut self) -> Need {
        let Some(seat) = &self.seat else { return Need::Nothing };
        match self.way {
            Way::Live => Need::Nothing,
            Way::Closed => match (self.position, seat.opening()) {
                (_, None) => Need::Time,
                (None, Some(opening)) => {
                    self.hello(opening.position, "fresh");
                    self.frames_of(opening.page.as_ref());
                    self.follow(opening.end)
                }
                (Some(after), Some(_)) => match self.located(&after) {
                    Some(mark) => {
                        self.hello(after, "all");
                        self.follow(mark)
                    }
                    None => {
                        self.way = Way::Begin(after);
                        Need::History
                    }
                },
            },
            Way::Begin(_) => Need::History,
            Way::Behind(position) => match self.located(&position) {
                Some(mark) => self.follow(mark),
                None => Need::History,
            },
        }
    }

    fn located(&self, position: &Position) -> Option<Mark> {
        match self.seat.as_ref()?.locate(position) {
            Some(Located::Here(mark)) => Some(mark),
            _ => None,
        }
    }

    /// Takes the history that was read for it; none if it could not be read.
    pub(super) fn history(&mut self, slice: Option<&HistorySlice>) -> Need {
        let (place, begins) = match self.way {
            Way::Begin(place) => (place, true),
            Way::Behind(place) => (place, false),
            Way::Closed | Way::Live => return Need::Nothing,
        };
        let Some(slice) = slice else { return Need::Time };
        let past = slice.past(&place);
        if begins {
            match &past {
                Past::End | Past::Page(..) => self.hello(place, "all"),
                Past::Trimmed(..) => self.hello(place, "gap"),
                Past::Elsewhere(start) => self.hello(*start, "reset"),
            }
        }
        let (frame, place) = match past {
            Past::End if begins => (None, place),
            Past::End => return Need::Time,
            Past::Page(page, end) => (Some(page), end),
            Past::Trimmed(from, to) => (Some(gap(from, to.seq, to)), to),
            Past::Elsewhere(start) => (Some(reset(start)), start),
        };
        self.frames_of(frame.as_ref());
        self.way = Way::Behind(place);
        Need::Time
    }

    /// Goes on along the tape, and then with the lane.
    fn follow(&mut self, mut mark: Mark) -> Need {
        while let Some((frame, after)) = self.seat.as_ref().and_then(|seat| seat.history(mark)) {
            self.frames_of(Some(&frame));
            mark = after;
        }
        self.way = Way::Live;
        if let Some(seat) = &self.seat {
            seat.enter(mark);
        }
        self.drain()
    }

    /// What the viewer's task does when it is woken, or its socket takes more.
    pub(super) fn drain(&mut self) -> Need {
        let drained = self.seat.as_ref().map(|seat| seat.drain(Instant::now()));
        self.read();
        match drained {
            Some(Drained::Shut(_)) => Need::Return,
            _ => Need::Nothing,
        }
    }

    /// What the viewer's task does after the lane wrote.
    pub(super) fn look(&mut self) -> Need {
        use futures_util::FutureExt as _;
        let is_woken = self.seat.as_ref().is_some_and(|seat| seat.woken().now_or_never().is_some());
        if is_woken {
            return self.drain();
        }
        self.read();
        Need::Nothing
    }

    fn hello(&mut self, position: Position, resumed: &str) {
        self.take(json!({"type": "hello", "resumed": resumed, "position": position.to_string()}));
    }

    fn frames_of(&mut self, frame: Option<&SharedFrame>) {
        if let Some(frame) = frame {
            let mut bytes = frame.bytes().to_vec();
            while let Some(value) = next_frame(&mut bytes) {
                self.take(value);
            }
        }
    }

    /// Reads the complete frames that came.
    fn read(&mut self) {
        let mut bytes = std::mem::take(&mut self.socket.0.lock().bytes);
        while let Some(value) = next_frame(&mut bytes) {
            self.take(value);
        }
        self.socket.0.lock().bytes = bytes;
    }

    fn take(&mut self, frame: Value) {
        let position = frame["position"].as_str().and_then(|text| text.parse().ok());
        if position.is_none() {
            return;
        }
        self.position = position;
        let newest = frame["comments"].as_array().and_then(|all| all.last()?["body"].as_str());
        self.has_last |= newest == Some(LAST_BODY);
        self.frames.push(frame);
    }
}

/// Takes the next complete text frame off the bytes; the frame of a ping is an empty one.
fn next_frame(bytes: &mut Vec<u8>) -> Option<Value> {
    let (start, len) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, usize::from(short)),
    };
    let payload = bytes.get(start..start + len)?;
    let frame: Map<String, Value> = serde_json::from_slice(payload).unwrap_or_default();
    bytes.drain(..start + len);
    Some(frame.into())
}
