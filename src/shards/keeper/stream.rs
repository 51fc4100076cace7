//! The streams of a keeper, each with its order.

use std::collections::HashMap;

use tokio::time::Instant;

use super::chain::Chain;
use crate::domain::StreamId;

/// A stream as its keeper knows it.
#[derive(Default)]
pub(super) struct StreamState {
    /// Tells it from an earlier stream of the name, of which a read may be under way still.
    pub(super) generation: u64,
    pub(super) chain: Chain,
    /// The time of the last message.
    pub(super) spoke: Option<Instant>,
    /// Whether it is among the audits to come.
    pub(super) is_audited: bool,
    /// Whether it is among the streams to compare.
    pub(super) is_doubted: bool,
    /// The number of viewers that its viewers were told last.
    pub(super) told_viewers: u64,
    /// How many watch on other pods; `None` until that is known.
    pub(super) elsewhere: Option<u64>,
}

/// The streams of a keeper, from the grant of their subscription until the hub forgot them.
#[derive(Default)]
pub(super) struct StreamTable {
    streams: HashMap<StreamId, StreamState>,
    /// How many streams were ever entered.
    generations: u64,
}

impl StreamTable {
    pub(super) fn get(&self, stream: &StreamId) -> Option<&StreamState> {
        self.streams.get(stream)
    }

    pub(super) fn get_mut(&mut self, stream: &StreamId) -> Option<&mut StreamState> {
        self.streams.get_mut(stream)
    }

    /// Returns the stream, unless it is a later one of the name.
    pub(super) fn of_generation(&mut self, stream: &StreamId, generation: u64) -> Option<&mut StreamState> {
        self.get_mut(stream).filter(|state| state.generation == generation)
    }

    /// Returns the stream; a new one if it was not there.
    pub(super) fn enter(&mut self, stream: &StreamId) -> &mut StreamState {
        self.streams.entry(stream.clone()).or_insert_with(|| {
            self.generations += 1;
            StreamState { generation: self.generations, ..StreamState::default() }
        })
    }

    pub(super) fn remove(&mut self, stream: &StreamId) {
        self.streams.remove(stream);
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &StreamId> {
        self.streams.keys()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&StreamId, &mut StreamState)> {
        self.streams.iter_mut()
    }
}
