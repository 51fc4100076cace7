//! What a stream's history says about a position, and pages of it.

use crate::{
    domain::Position,
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
    Elsewhere,
    /// The position is newer than all that was read.
    Ahead,
}

impl HistorySlice {
    /// The place before the oldest entry.
    pub(in crate::shards) fn start(&self) -> Position {
        self.entries.first().map_or(self.head, Entry::before)
    }

    fn find(&self, position: &Position) -> Found<'_> {
        if position.epoch != self.head.epoch {
            return Found::Elsewhere;
        }
        if position.seq > self.head.seq {
            return Found::Ahead;
        }
        let start = self.start();
        if position.seq < start.seq {
            return Found::Trimmed;
        }
        let newer = self.entries.partition_point(|entry| entry.seq <= position.seq);
        let here =
            newer.checked_sub(1).and_then(|last| self.entries.get(last)).map_or(start, Entry::position);
        if here == *position { Found::Here(&self.entries[newer..]) } else { Found::Elsewhere }
    }

    /// What follows a position; none if the position is newer than all that was read.
    pub(in crate::shards) fn past(&self, position: &Position) -> Option<Past> {
        let newer = match self.find(position) {
            Found::Elsewhere => return Some(Past::Elsewhere(self.start())),
            Found::Ahead => return None,
            Found::Trimmed => return Some(Past::Trimmed(position.seq + 1, self.start())),
            Found::Here(newer) => newer,
        };
        let mut page = Page::default();
        newer.iter().take_while(|entry| page.push_entry(entry)).for_each(drop);
        let end = page.position();
        Some(page.finish().zip(end).map_or(Past::End, |(frame, end)| Past::Page(frame, end)))
    }

    /// A page of at most `limit` comments: the newest, or those after a position.
    pub(in crate::shards) fn page(&self, after: Option<&Position>, limit: usize) -> HistoryPage {
        let newest = || &self.entries[self.entries.len().saturating_sub(limit)..];
        let (entries, resumed) = match after.map(|after| self.find(after)) {
            None => (newest(), Resumed::Fresh),
            Some(Found::Here(newer)) => (newer, Resumed::All),
            Some(Found::Trimmed) => (&self.entries[..], Resumed::Gap),
            Some(Found::Elsewhere | Found::Ahead) => (&self.entries[..], Resumed::Reset),
        };
        let mut page = Page::default();
        entries.iter().take(limit).take_while(|entry| page.push_entry(entry)).for_each(drop);
        let before = entries.first().map_or(self.head, Entry::before);
        let position = page.position().unwrap_or(before);
        HistoryPage { comments: page.objects().to_owned(), position, more: position != self.head, resumed }
    }
}
