//! A viewer as docs/clients.md wants it, over all its sockets.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::time::timeout;

use super::{field::Field, poster};
use crate::{
    Join, Viewer,
    checker::{Watch, Words},
    pause,
};

/// How long it takes a handshake for lost.
const HANDSHAKE: Duration = Duration::from_secs(4);
/// How long it is content with silence; then it asks, and waits as long again.
const SILENCE: Duration = Duration::from_secs(6);
/// It comes back after a random time within this, and does not wait longer with each attempt: here it is measured how
/// soon it could be back.
const JITTER_MS: std::ops::Range<u64> = 100..1_000;
/// After how long it goes to another pod by itself: so viewers are on every pod, and resumes are always under way.
const STAYS_S: std::ops::Range<u64> = 20..60;
/// Of so many viewers one comes by the door that can be disturbed.
const BY_THE_DOOR: usize = 4;

/// What all viewers saw together, as it is seen.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) deliveries: AtomicU64,
    /// Sockets that ended without the viewer's being asked to move.
    pub(super) lost: AtomicU64,
    /// Sockets that were left because the pod asked for it, or for no reason.
    pub(super) moves: AtomicU64,
    /// Whether viewers give up, whatever they miss.
    pub(super) stop: AtomicBool,
    words: Mutex<Words>,
    /// Each viewer's newest marker.
    pub(super) markers: Vec<AtomicU32>,
}

impl Tally {
    pub(super) fn of(viewers: usize) -> Self {
        Self { markers: (0..viewers).map(|_| AtomicU32::new(0)).collect(), ..Self::default() }
    }

    /// How many viewers have not got a marker.
    pub(super) fn without(&self, marker: u32) -> usize {
        self.those_without(marker).count()
    }

    /// The numbers of the viewers that have not got a marker.
    pub(super) fn those_without(&self, marker: u32) -> impl Iterator<Item = usize> {
        let all = self.markers.iter().enumerate();
        all.filter(move |(_, newest)| newest.load(Relaxed) < marker).map(|(number, _)| number)
    }
}

/// A viewer.
pub(super) struct Watcher {
    field: Arc<Field>,
    tally: Arc<Tally>,
    number: usize,
    watch: Watch,
    /// Of the newest frame that was processed.
    position: Option<String>,
    done: bool,
}

/// How a socket ended.
enum End {
    Over,
    Lost,
    /// The viewer moves within this time: the pod asks for it, or the viewer has been there for long enough.
    Moves(Duration),
}

impl Watcher {
    pub(super) fn new(field: Arc<Field>, tally: Arc<Tally>, number: usize, stream: &str) -> Self {
        let watch = Watch { stream: stream.to_owned(), told: Vec::new() };
        Self { field, tally, number, watch, position: None, done: false }
    }

    /// Watches until the stream is over.
    pub(super) async fn run(mut self) -> Watch {
        // The socket that the pod asks to leave is kept until there is another.
        let mut old: Option<Viewer> = None;
        for turn in self.number.. {
            if self.tally.stop.load(Relaxed) {
                break;
            }
            let Some(mut viewer) = self.open(turn % self.field.places.len()).await else {
                pause(jitter()).await;
                continue;
            };
            drop(old.take());
            match self.follow(&mut viewer).await {
                End::Over => break,
                End::Lost => {
                    self.tally.lost.fetch_add(1, Relaxed);
                    pause(jitter()).await;
                }
                End::Moves(within) => {
                    self.tally.moves.fetch_add(1, Relaxed);
                    old = Some(viewer);
                    pause(jitter().min(within / 2)).await;
                }
            }
        }
        self.watch
    }

    async fn open(&self, place: usize) -> Option<Viewer> {
        let by_door = self.number.is_multiple_of(BY_THE_DOOR);
        let address = if by_door { self.field.places[place].door.address } else { self.field.address(place) };
        let mut join = Join::at(address, &self.watch.stream);
        if let Some(after) = &self.position {
            join = join.after(after);
        }
        timeout(HANDSHAKE, join.connect()).await.ok().flatten()
    }

    async fn follow(&mut self, viewer: &mut Viewer) -> End {
        let (mut asked, begun) = (false, Instant::now());
        let stays = Duration::from_secs(rand::random_range(STAYS_S));
        while !self.tally.stop.load(Relaxed) {
            let Some(open) = viewer.try_read(SILENCE).await else {
                if asked || !viewer.try_send(r#"{"type":"ping"}"#).await {
                    return End::Lost;
                }
                asked = true;
                continue;
            };
            asked = false;
            let mut move_within = None;
            for frame in viewer.take_frames() {
                if frame["type"] == "reconnect" {
                    move_within = frame["within_ms"].as_u64().map(Duration::from_millis);
                }
                self.note(&frame);
            }
            match (self.done, open, move_within) {
                (true, ..) => return End::Over,
                (_, false, _) => return End::Lost,
                (.., Some(within)) => return End::Moves(within),
                _ if begun.elapsed() > stays => return End::Moves(Duration::ZERO),
                _ => {}
            }
        }
        End::Over
    }

    fn note(&mut self, frame: &Value) {
        let position = frame["position"].as_str();
        // That of `hello` is for those who have none: see docs/clients.md.
        if let Some(position) = position.filter(|_| frame["type"] != "hello" || self.position.is_none()) {
            self.position = Some(position.to_owned());
        }
        self.watch.note(frame, &mut self.tally.words.lock().unwrap_or_else(PoisonError::into_inner));
        for comment in frame["comments"].as_array().into_iter().flatten() {
            self.tally.deliveries.fetch_add(1, Relaxed);
            let body = comment["body"].as_str().unwrap_or_default();
            if let Some(marker) = poster::marker_of(body) {
                self.tally.markers[self.number].fetch_max(marker, Relaxed);
            }
            self.done |= body == poster::last_of(&self.watch.stream);
        }
    }
}

fn jitter() -> Duration {
    Duration::from_millis(rand::random_range(JITTER_MS))
}
