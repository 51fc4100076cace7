//! Pages of history: many comments in one frame.

use super::{Entry, LiveComment, SharedFrame, server};
use crate::domain::Position;

/// The largest payload of a page, in bytes; a page holds at least one comment, and a comment is far smaller. Libraries
/// have limits of 32,768 bytes, some of which count more than the payload.
pub const HISTORY_PAGE_BYTES: usize = 31 * 1024;
/// What a page takes besides its comments.
const FRAME_BYTES: usize = 128;

/// A `comments` frame with `history:true` that is being filled.
#[derive(Debug, Default)]
pub struct Page {
    objects: Vec<u8>,
    comments: usize,
    last: Option<Position>,
}

impl Page {
    /// Adds a comment from its entry; false, and nothing added, if the page is full.
    pub fn push_entry(&mut self, entry: &Entry) -> bool {
        let before = self.objects.len();
        self.separate();
        server::object(entry, &mut self.objects);
        self.keep_or_undo(before, entry.position())
    }

    /// Adds a comment that went out live before; false, and nothing added, if the page is full.
    pub fn push_live(&mut self, comment: &LiveComment, position: Position) -> bool {
        let before = self.objects.len();
        self.separate();
        self.objects.extend_from_slice(&comment.object());
        self.keep_or_undo(before, position)
    }

    fn separate(&mut self) {
        if !self.objects.is_empty() {
            self.objects.push(b',');
        }
    }

    fn keep_or_undo(&mut self, before: usize, position: Position) -> bool {
        let fits = self.comments == 0 || self.objects.len() + FRAME_BYTES <= HISTORY_PAGE_BYTES;
        if fits {
            self.comments += 1;
            self.last = Some(position);
        } else {
            self.objects.truncate(before);
        }
        fits
    }

    /// How many comments it holds.
    #[must_use]
    pub const fn comments(&self) -> usize {
        self.comments
    }

    /// The place after its last comment, if it has one.
    #[must_use]
    pub const fn position(&self) -> Option<Position> {
        self.last
    }

    /// The JSON objects, separated by commas.
    #[must_use]
    pub fn objects(&self) -> &str {
        // Only text went in: envelopes are checked when they are read.
        std::str::from_utf8(&self.objects).unwrap_or_default()
    }

    /// The frame; none if the page is empty.
    #[must_use]
    pub fn finish(self) -> Option<SharedFrame> {
        let position = self.last?;
        let mut text = Vec::with_capacity(self.objects.len() + FRAME_BYTES);
        text.extend_from_slice(br#"{"type":"comments","comments":["#);
        text.extend_from_slice(&self.objects);
        text.extend_from_slice(format!(r#"],"position":"{position}","history":true}}"#).as_bytes());
        Some(SharedFrame::text(&text))
    }
}
