//! The last comment frames of a stream as bytes, so that what went to thousands of viewers is understood once.
//!
//! A server sends the same bytes to every viewer. A frame that is byte for byte one that was read before says the
//! same; any other is read in full, so that nothing is taken on trust. Each frame that is kept has been read by
//! `serde_json` as well.

use std::{collections::VecDeque, ops::Range};

use serde::de::IgnoredAny;

use crate::protocol::scan::{Entry, Frame, Kind, Malformed};

/// Frames that are kept; more than go out in one write of a server.
const KEPT: usize = 32;
/// Longer frames are pages of history, of which each viewer gets its own.
const MAX_BYTES: usize = 16 * 1024;

struct Known {
    bytes: Box<[u8]>,
    position: Range<usize>,
    history: bool,
    entries: Vec<Entry>,
}

/// The last frames of one stream.
#[derive(Default)]
pub(crate) struct Recent {
    frames: VecDeque<Known>,
    /// The number of the first of them since the run began.
    first: u64,
}

impl Recent {
    /// The number of the frame that is these bytes. `hint` is where the reader expects it.
    pub(crate) fn find(&self, text: &str, hint: u64) -> Option<u64> {
        let same = |known: &Known| *known.bytes == *text.as_bytes();
        let expected = hint.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if expected.and_then(|index| self.frames.get(index)).is_some_and(same) {
            return Some(hint);
        }
        let place = self.frames.iter().rposition(same)?;
        Some(self.first + place as u64)
    }

    /// The frame with this number, and its comments.
    pub(crate) fn get(&self, number: u64) -> Option<(Frame<'_>, &[Entry])> {
        let known = self.frames.get(usize::try_from(number.checked_sub(self.first)?).ok()?)?;
        let position = known.bytes.get(known.position.clone());
        let frame = Frame { kind: Kind::Comments, position, history: known.history, ..Frame::default() };
        Some((frame, &known.entries))
    }

    /// Keeps a frame that was read, unless it is none that others get, too.
    ///
    /// # Errors
    /// When it is no JSON at all.
    pub(crate) fn keep(&mut self, text: &str, frame: &Frame<'_>, entries: &[Entry]) -> Result<(), Malformed> {
        let Some(position) =
            frame.position.filter(|_| frame.kind == Kind::Comments && text.len() <= MAX_BYTES)
        else {
            return Ok(());
        };
        let Some(from) = memchr::memmem::rfind(text.as_bytes(), position) else { return Ok(()) };
        serde_json::from_str::<IgnoredAny>(text).map_err(|_| Malformed)?;
        if self.frames.len() == KEPT {
            self.frames.pop_front();
            self.first += 1;
        }
        self.frames.push_back(Known {
            bytes: text.as_bytes().into(),
            position: from..from + position.len(),
            history: frame.history,
            entries: entries.to_vec(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::scan::scan;

    fn comment(seq: u64) -> String {
        format!(
            r#"{{"type":"comments","comments":[{{"id":"c{seq}","seq":{seq},"body":"hi","at":1}}],"position":"e.{seq}"}}"#
        )
    }

    fn keep(recent: &mut Recent, text: &str) -> Result<(), Malformed> {
        let mut entries = Vec::new();
        let frame = scan(text, &mut entries)?;
        recent.keep(text, &frame, &entries)
    }

    #[test]
    fn the_same_bytes_say_the_same() {
        let mut recent = Recent::default();
        for seq in 1..=40 {
            keep(&mut recent, &comment(seq)).unwrap();
        }
        let number = recent.find(&comment(40), 0).unwrap();
        assert_eq!(recent.find(&comment(40), number), Some(number));
        assert_eq!(recent.find(&comment(39), number), Some(number - 1));
        let mut entries = Vec::new();
        let text = comment(40);
        let frame = scan(&text, &mut entries).unwrap();
        assert_eq!(recent.get(number).unwrap(), (frame, &entries[..]));
        assert_eq!(recent.find(&comment(1), number), None, "only the last ones are kept");
        assert_eq!(recent.find(&comment(41), number), None);
        assert!(recent.get(number + 1).is_none());
    }

    #[test]
    fn only_comments_are_kept_and_only_json() {
        let mut recent = Recent::default();
        keep(&mut recent, r#"{"type":"posted","ref":"1","id":"a","seq":1}"#).unwrap();
        let broken = comment(1).replace(r#""body":"hi""#, r#""body":"hi","data":{"a":01}"#);
        assert_eq!(keep(&mut recent, &broken), Err(Malformed));
        assert!(recent.frames.is_empty());
    }
}
