//! A socket that does what a test says, and the frames that were written to it.

use std::{
    io::{self, IoSlice},
    sync::Arc,
};

use parking_lot::Mutex;
use serde_json::Value;

use crate::hub::Outlet;

/// An entry's epoch, by its letter, and its number.
pub(super) type TapePlace = (char, u64);

/// What a viewer was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Live(TapePlace),
    /// With `history:true`.
    Past(TapePlace),
    Skipped(u64, TapePlace),
    Gap(u64, u64),
    Reset(TapePlace),
    Viewers(u64),
    /// A frame of the viewer's own: tests push numbered pongs.
    Own(u64),
    Close,
}

#[derive(Clone, Default)]
pub(super) struct Wire(Arc<Mutex<Line>>);

#[derive(Default)]
struct Line {
    /// How many bytes it takes before it is full; none: any number.
    room: Option<usize>,
    broken: bool,
    bytes: Vec<u8>,
    writes: usize,
    /// How many slices the last write had.
    slices: usize,
    /// What was encrypted and not yet taken; none for a plain socket.
    sealed: Option<Vec<u8>>,
    /// Runs within the next write: what other threads do at that moment.
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
}

/// The most bytes that are encrypted at once.
const RECORD: usize = 600;

impl Line {
    /// Takes bytes as far as there is room for them.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room.unwrap_or(usize::MAX));
        self.bytes.extend_from_slice(&bytes[..taken]);
        self.room = self.room.map(|room| room - taken);
        taken
    }

    /// Takes what was encrypted, as far as there is room.
    fn take_sealed(&mut self) -> io::Result<()> {
        let Some(mut sealed) = self.sealed.take() else { return Ok(()) };
        let taken = self.take(&sealed);
        sealed.drain(..taken);
        let all = sealed.is_empty();
        self.sealed = Some(sealed);
        if all { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }
}

impl Wire {
    /// One behind TLS.
    pub(super) fn private() -> Self {
        Self(Arc::new(Mutex::new(Line { sealed: Some(Vec::new()), ..Line::default() })))
    }

    /// From now on it takes so many bytes and is then full.
    pub(super) fn take(&self, bytes: usize) {
        self.0.lock().room = Some(bytes);
    }

    pub(super) fn take_all(&self) {
        self.0.lock().room = None;
    }

    pub(super) fn cut(&self) {
        self.0.lock().broken = true;
    }

    pub(super) fn meanwhile(&self, run: impl FnOnce() + Send + 'static) {
        self.0.lock().meanwhile = Some(Box::new(run));
    }

    /// How many bytes it took.
    pub(super) fn bytes(&self) -> u64 {
        self.0.lock().bytes.len() as u64
    }

    /// How many writes took something.
    pub(super) fn writes(&self) -> usize {
        self.0.lock().writes
    }

    /// How many slices the last write was made of.
    pub(super) fn slices(&self) -> usize {
        self.0.lock().slices
    }

    /// How many hold on to the wire, the caller among them.
    pub(super) fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// What the complete frames say; each byte of them is checked. The rest is the beginning of one frame.
    pub(super) fn told(&self) -> Vec<Told> {
        let bytes = self.0.lock().bytes.clone();
        let mut told = Vec::new();
        let mut rest = &bytes[..];
        while let Some((opcode, payload, after)) = frame(rest) {
            rest = after;
            match opcode {
                0x81 => read(&serde_json::from_slice(payload).unwrap(), &mut told),
                0x88 => told.push(Told::Close),
                // A ping is no news of the stream.
                0x89 => {}
                other => panic!("no frame begins with {other:#x}"),
            }
        }
        told
    }

    /// Whether a frame is written in part.
    pub(super) fn is_amid_frame(&self) -> bool {
        let bytes = self.0.lock().bytes.clone();
        let mut rest = &bytes[..];
        while let Some((_, _, after)) = frame(rest) {
            rest = after;
        }
        !rest.is_empty()
    }
}

impl Outlet for Wire {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let meanwhile = self.0.lock().meanwhile.take();
        if let Some(run) = meanwhile {
            run();
        }
        let mut line = self.0.lock();
        if line.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let written = if line.sealed.is_some() {
            line.take_sealed()?;
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let mut written = 0;
            for record in bytes.chunks(RECORD) {
                line.sealed = Some(record.to_vec());
                written += record.len();
                if line.take_sealed().is_err() {
                    break;
                }
            }
            written
        } else {
            slices.iter().map(|slice| line.take(slice)).sum()
        };
        if written == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        line.writes += 1;
        line.slices = slices.len();
        Ok(written)
    }

    fn flush(&self) -> io::Result<()> {
        self.0.lock().take_sealed()
    }

    fn is_deferred(&self) -> bool {
        self.0.lock().sealed.is_some()
    }
}

/// The first frame's opcode and payload, and what follows it.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&opcode, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (len, rest) = match short {
        126 => {
            let (len, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        127 => panic!("no frame is so long"),
        short => (usize::from(short), rest),
    };
    rest.split_at_checked(len).map(|(payload, rest)| (opcode, payload, rest))
}

fn read(frame: &Value, told: &mut Vec<Told>) {
    let number = |name: &str| frame[name].as_u64().unwrap();
    match frame["type"].as_str().unwrap() {
        "comments" => {
            let comments = frame["comments"].as_array().unwrap();
            let (epoch, last) = place(frame);
            assert_eq!(comments.last().unwrap()["seq"], last, "a frame's position is its last comment's");
            for comment in comments {
                let place = (epoch, comment["seq"].as_u64().unwrap());
                let past = frame.get("history").is_some();
                told.push(if past { Told::Past(place) } else { Told::Live(place) });
            }
        }
        "skipped" => told.push(Told::Skipped(number("count"), place(frame))),
        "gap" => told.push(Told::Gap(number("from"), number("to"))),
        "reset" => told.push(Told::Reset(place(frame))),
        "viewers" => told.push(Told::Viewers(number("viewers"))),
        "pong" => told.push(Told::Own(number("server_time"))),
        other => panic!("nothing sends {other}"),
    }
}

/// The comments among what was told, whether live or not.
pub(super) fn places(told: &[Told]) -> Vec<TapePlace> {
    let place = |told: &Told| match *told {
        Told::Live(place) | Told::Past(place) => Some(place),
        _ => None,
    };
    told.iter().filter_map(place).collect()
}

fn place(frame: &Value) -> TapePlace {
    let mut words = frame["position"].as_str().unwrap().split('.');
    let epoch = words.next().unwrap().chars().next().unwrap();
    (epoch, words.next().unwrap().parse().unwrap())
}
