//! What one viewer saw, over all its sockets.

use std::{collections::HashSet, sync::Arc};

use serde_json::Value;

/// A viewer's log, read for the checker.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// The stream.
    pub stream: String,
    /// Everything that the viewer was told, in order.
    pub told: Vec<Told>,
}

/// A place in a stream's order, as far as a number tells it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The epoch of the stream's history.
    pub epoch: Arc<str>,
    /// The number within the epoch.
    pub seq: u64,
}

/// What a viewer was told of the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A `hello` after the first: the viewer goes on after this place.
    Resumed(Place),
    /// A comment.
    Comment {
        /// Its place.
        at: Place,
        /// Its id.
        id: Arc<str>,
        /// Its text.
        body: Arc<str>,
    },
    /// `skipped` or `gap`: what there is up to this place is not shown. The first `hello` counts as one.
    Hole(Place),
    /// The history began anew after this place.
    Reset(Place),
}

impl Watch {
    /// Reads the frames of a viewer.
    pub fn of(stream: &str, frames: &[Value]) -> Self {
        let mut watch = Self { stream: stream.to_owned(), told: Vec::new() };
        let mut words = Words::default();
        frames.iter().for_each(|frame| watch.note(frame, &mut words));
        watch
    }

    /// Reads one more frame.
    pub fn note(&mut self, frame: &Value, words: &mut Words) {
        let Some(position) = frame["position"].as_str() else { return };
        let place = Place::parse(position, words);
        match frame["type"].as_str().unwrap_or_default() {
            "hello" if self.told.is_empty() => self.told.push(Told::Hole(place)),
            // What it says of `gap` and `reset` is followed by these frames.
            "hello" if frame["resumed"] != "reset" => self.told.push(Told::Resumed(place)),
            "comments" => {
                for comment in frame["comments"].as_array().into_iter().flatten() {
                    let mut text = |field: &str| words.get(comment[field].as_str().unwrap_or_default());
                    let (id, body) = (text("id"), text("body"));
                    let seq = comment["seq"].as_u64().unwrap_or_default();
                    let at = Place { epoch: Arc::clone(&place.epoch), seq };
                    self.told.push(Told::Comment { at, id, body });
                }
            }
            "skipped" | "gap" => self.told.push(Told::Hole(place)),
            "reset" => self.told.push(Told::Reset(place)),
            _ => {}
        }
    }

    /// Everything after the last `reset`; all, if there was none.
    pub fn present(&self) -> &[Told] {
        let last = self.told.iter().rposition(|told| matches!(told, Told::Reset(_)));
        &self.told[last.unwrap_or(0)..]
    }

    /// How often the history began anew.
    pub fn resets(&self) -> usize {
        self.told.iter().filter(|told| matches!(told, Told::Reset(_))).count()
    }

    /// How often the viewer was told that it misses something of this history.
    pub fn holes(&self) -> usize {
        self.told.iter().skip(1).filter(|told| matches!(told, Told::Hole(_))).count()
    }

    /// All comments: where, id, text.
    pub fn comments(&self) -> impl Iterator<Item = (&Place, &str, &str)> {
        comments(&self.told)
    }
}

/// The comments among these.
pub(super) fn comments(told: &[Told]) -> impl Iterator<Item = (&Place, &str, &str)> {
    told.iter().filter_map(|told| match told {
        Told::Comment { at, id, body } => Some((at, &**id, &**body)),
        _ => None,
    })
}

impl Place {
    /// Reads what is opaque to clients, and open to a checker.
    fn parse(position: &str, words: &mut Words) -> Self {
        let mut parts = position.split('.');
        let epoch = words.get(parts.next().unwrap_or_default());
        Self { epoch, seq: parts.next().and_then(|seq| seq.parse().ok()).unwrap_or_default() }
    }
}

/// Each word once: many viewers are told the same.
#[derive(Debug, Default)]
pub struct Words(HashSet<Arc<str>>);

impl Words {
    fn get(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.0.get(word) {
            return Arc::clone(known);
        }
        let word = Arc::from(word);
        self.0.insert(Arc::clone(&word));
        word
    }
}
