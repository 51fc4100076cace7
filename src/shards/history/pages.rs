//! What a stream's history says about a position, and pages of it.

use crate::{
    domain::{PlantedFault, Position, Timeline},
    protocol::{Entry, Page, Resumed, SharedFrame},
};

use crate::shards::backend::types::HistorySlice;

/// What follows a position in a stream's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Past {
    /// Nothing: it is the newest place.
    End,
    /// These comments, in one frame, and the place after them.
    Page(SharedFrame, Position),
    /// Entries that are trimmed, from the number given up to the place.
    Trimmed(u64, Position),
    /// The position is not of this history, which begins at the place given.
    Elsewhere(Position),
}

/// A page of history for a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// The comments' JSON objects, oldest first, separated by commas.
    pub comments: String,
    /// The place after the last of them.
    pub position: Position,
    /// Whether there are newer ones.
    pub more: bool,
    /// How the page relates to the position that was asked for.
    pub resumed: Resumed,
}

enum Found<'a> {
    /// The entries after the position.
    Here(&'a [Entry]),
    /// The position is before the oldest entry of the window.
    Trimmed,
    /// The position is of another history, or newer than all that was read.
    Elsewhere,
}

impl HistorySlice {
    /// The place before the oldest entry.
    pub(in crate::shards) fn start(&self) -> Position {
        self.entries.first().map_or(self.head, Entry::before)
    }

    /// The number of a timeline's last entry in this history; none for a timeline that did not lead here.
    fn end_of(&self, timeline: Option<Timeline>) -> Option<u64> {
        let former =
            || self.former.iter().find(|former| former.timeline == timeline).map(|former| former.end);
        if timeline == self.head.timeline { Some(self.head.seq) } else { former() }
    }

    fn find(&self, position: &Position) -> Found<'_> {
        if position.epoch != self.head.epoch || position.seq > self.head.seq {
            return Found::Elsewhere;
        }
        let start = self.start();
        if position.seq < start.seq {
            // The entry that would tell is gone: the timeline does.
            let is_of_this = position.seq == 0
                || self.end_of(position.timeline).is_some_and(|end| position.seq <= end)
                || PlantedFault::HistoryIgnoresTimelines.is_planted();
            return if is_of_this { Found::Trimmed } else { Found::Elsewhere };
        }
        let newer = self.entries.partition_point(|entry| entry.seq <= position.seq);
        let here =
            newer.checked_sub(1).and_then(|last| self.entries.get(last)).map_or(start, Entry::position);
        if here == *position { Found::Here(&self.entries[newer..]) } else { Found::Elsewhere }
    }

    /// Whether a position is a place of this history, of which the entry may be trimmed.
    pub(in crate::shards) fn holds(&self, position: &Position) -> bool {
        !matches!(self.find(position), Found::Elsewhere)
    }

    /// What follows a position.
    pub(in crate::shards) fn past(&self, position: &Position) -> Past {
        let newer = match self.find(position) {
            Found::Elsewhere => return Past::Elsewhere(self.start()),
            Found::Trimmed => return Past::Trimmed(position.seq + 1, self.start()),
            Found::Here(newer) => newer,
        };
        let mut page = Page::default();
        newer.iter().take_while(|entry| page.push_entry(entry)).for_each(drop);
        let end = page.position();
        page.finish().zip(end).map_or(Past::End, |(frame, end)| Past::Page(frame, end))
    }

    /// A page of at most `limit` comments: the newest, or those after a position.
    pub(in crate::shards) fn page(&self, after: Option<&Position>, limit: usize) -> HistoryPage {
        let newest = || &self.entries[self.entries.len().saturating_sub(limit)..];
        let (entries, resumed) = match after.map(|after| self.find(after)) {
            None => (newest(), Resumed::Fresh),
            Some(Found::Here(newer)) => (newer, Resumed::All),
            Some(Found::Trimmed) => (&self.entries[..], Resumed::Gap),
            Some(Found::Elsewhere) => (&self.entries[..], Resumed::Reset),
        };
        let mut page = Page::default();
        entries.iter().take(limit).take_while(|entry| page.push_entry(entry)).for_each(drop);
        let before = entries.first().map_or(self.head, Entry::before);
        let position = page.position().unwrap_or(before);
        HistoryPage { comments: page.objects().to_owned(), position, more: position != self.head, resumed }
    }
}
