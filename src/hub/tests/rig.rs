//! A hub with one stream, its lanes in the test's own hands, and viewers at wires.

use std::{fmt::Write as _, ops::RangeInclusive, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::wire::{TapePlace, Told, Wire};
use crate::{
    domain::{Position, StreamId},
    hub::{Drained, Fanout, Hub, Item, Lane, Nudge, Seat},
    protocol::{self, Entry},
    telemetry::Sli,
};

/// Frames that are older than this leave the tape, but for the newest fifty comments.
pub(super) const TOO_OLD: Duration = Duration::from_secs(16);

/// How long the frames of a hot stream are gathered.
pub(super) const WINDOW: Duration = Duration::from_millis(50);

#[derive(Clone, Default)]
pub(super) struct Nudged(Arc<Mutex<Vec<String>>>);

impl Nudge for Nudged {
    fn nudge(&self, stream: &StreamId) {
        self.0.lock().push(stream.to_string());
    }
}

impl Nudged {
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

pub(super) struct Rig {
    pub(super) hub: Hub,
    pub(super) lanes: Vec<Lane>,
    pub(super) nudged: Nudged,
    pub(super) sli: Sli,
    pub(super) id: StreamId,
    /// Whether viewers come over TLS.
    pub(super) is_private: bool,
}

pub(super) struct Viewer {
    pub(super) seat: Seat,
    pub(super) wire: Wire,
}

/// The place after an entry of the tests' streams, or before the first of an epoch.
pub(super) fn at((epoch, seq): TapePlace) -> Position {
    let id = if seq == 0 { "~".into() } else { entry_id((epoch, seq)) };
    format!("{}.{seq}.{id}", epoch_name(epoch)).parse().unwrap()
}

fn epoch_name(epoch: char) -> String {
    epoch.to_string().repeat(8)
}

fn entry_id((epoch, seq): TapePlace) -> String {
    format!("{}{seq:08}", epoch_name(epoch))
}

pub(super) fn entry(place: TapePlace, body: &str) -> Entry {
    entry_of("comment", place, body)
}

fn entry_of(kind: &str, (epoch, seq): TapePlace, body: &str) -> Entry {
    let previous = if seq == 1 { "~".into() } else { entry_id((epoch, seq - 1)) };
    let (name, id) = (epoch_name(epoch), entry_id((epoch, seq)));
    let mut text = format!("1 1 {name} {seq} {id} {previous} 0 0 {kind}\n");
    write!(text, r#""id":"{id}","body":"{body}""#).unwrap();
    Entry::decode(&text.into()).unwrap()
}

pub(super) fn comments(epoch: char, seqs: RangeInclusive<u64>) -> impl Iterator<Item = Item> {
    seqs.map(move |seq| Item::comment(&entry((epoch, seq), "hi")))
}

pub(super) fn gifts(epoch: char, seqs: RangeInclusive<u64>) -> impl Iterator<Item = Item> {
    seqs.map(move |seq| Item::comment(&entry_of("gift", (epoch, seq), "hi")))
}

pub(super) fn live(epoch: char, seqs: RangeInclusive<u64>) -> Vec<Told> {
    seqs.map(|seq| Told::Live((epoch, seq))).collect()
}

pub(super) fn past(epoch: char, seqs: RangeInclusive<u64>) -> Vec<Told> {
    seqs.map(|seq| Told::Past((epoch, seq))).collect()
}

impl Rig {
    /// A hub whose stream is open and empty, in epoch `a`.
    pub(super) fn new(lanes: usize) -> Self {
        Self::opened(Self::closed(lanes))
    }

    /// The same, but viewers come over TLS.
    pub(super) fn private(lanes: usize) -> Self {
        Self { is_private: true, ..Self::new(lanes) }
    }

    /// The same, but every stream is hot and gathers its frames for a window.
    pub(super) fn hot(lanes: usize) -> Self {
        Self::opened(Self::with(Fanout { lanes, window: WINDOW, hot_from: 0 }))
    }

    /// With a window, for streams that are hot in earnest.
    pub(super) fn small() -> Self {
        Self::opened(Self::with(Fanout::new(1, WINDOW)))
    }

    fn opened(rig: Self) -> Self {
        // A stream is there once somebody sits in it.
        let _seat = rig.hub.sit(&rig.id, Arc::new(Wire::default()));
        rig.hub.open(&rig.id, at(('a', 0)), []);
        drop(_seat);
        rig.nudged.take();
        rig
    }

    pub(super) fn closed(lanes: usize) -> Self {
        Self::with(Fanout::new(lanes, Duration::ZERO))
    }

    pub(super) fn with(fanout: Fanout) -> Self {
        let (nudged, sli) = (Nudged::default(), Sli::default());
        let (hub, lanes) = Hub::new(fanout, nudged.clone(), sli.clone());
        Self { hub, lanes, nudged, sli, id: "live".parse().unwrap(), is_private: false }
    }

    pub(super) fn deliver(&self, items: impl IntoIterator<Item = Item>) {
        self.hub.deliver(&self.id, items);
    }

    /// Lets the lanes write until they have nothing more.
    pub(super) fn turn(&mut self) {
        for lane in &mut self.lanes {
            let mut turns = 0;
            while lane.turn(Instant::now()) {
                turns += 1;
                assert!(turns < 100_000, "a lane that never rests");
            }
        }
    }

    pub(super) fn deliver_and_turn(&mut self, items: impl IntoIterator<Item = Item>) {
        self.deliver(items);
        self.turn();
    }

    pub(super) fn sit(&self) -> Viewer {
        if !self.is_private {
            return sit(&self.hub, &self.id);
        }
        let wire = Wire::private();
        Viewer { seat: self.hub.sit(&self.id, Arc::new(wire.clone())), wire }
    }

    /// A viewer that joined and has caught up.
    pub(super) fn viewer(&self) -> Viewer {
        let viewer = self.sit();
        viewer.join();
        viewer
    }
}

pub(super) fn sit(hub: &Hub, id: &StreamId) -> Viewer {
    let wire = Wire::default();
    Viewer { seat: hub.sit(id, Arc::new(wire.clone())), wire }
}

impl Viewer {
    /// Joins as a newcomer.
    pub(super) fn join(&self) {
        let end = self.read_history();
        self.seat.enter(end);
        assert_eq!(self.drain(), Drained::All);
    }

    /// Reads the recent comments, as a newcomer; returns where the tape goes on.
    pub(super) fn read_history(&self) -> crate::hub::Mark {
        let opening = self.seat.opening().unwrap();
        opening.page.iter().for_each(|page| self.seat.push(page));
        let mut end = opening.end;
        while let Some((page, after)) = self.seat.history(end) {
            self.seat.push(&page);
            end = after;
        }
        end
    }

    pub(super) fn drain(&self) -> Drained {
        self.seat.drain(Instant::now())
    }

    pub(super) fn told(&self) -> Vec<Told> {
        self.wire.told()
    }

    pub(super) fn push_own(&self, number: u64) {
        self.seat.push(&protocol::pong(number));
    }

    /// Whether the seat asked for its task since this was last asked.
    pub(super) fn is_woken(&self) -> bool {
        self.seat.woken().now_or_never().is_some()
    }
}

/// Bytes of a comment's frame.
pub(super) fn frame_bytes(place: TapePlace) -> usize {
    protocol::comment(&entry(place, "hi"), false).frame.bytes().len()
}
