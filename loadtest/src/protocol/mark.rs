//! The mark that each posted body starts with: whose post it is, and when it was due.
//!
//! Latency is measured from the scheduled time in the mark, so that a tester or a server that falls behind
//! cannot hide it (no coordinated omission).

use serde::{Deserialize, Serialize};

const PREFIX: &[u8] = b"fl1.";

/// The length of a mark in bytes; bodies are at least as long.
pub(crate) const MARK_BYTES: usize = 44;

/// A post's number within its stream; gifts are numbered apart from comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PostId(u32);

impl PostId {
    const GIFT: u32 = 1 << 31;
    /// The most posts of one sort in a stream.
    pub(crate) const MAX: u32 = 1 << 30;

    pub(crate) fn comment(number: u32) -> Self {
        Self(number % Self::MAX)
    }

    pub(crate) fn gift(number: u32) -> Self {
        Self((number % Self::MAX) | Self::GIFT)
    }

    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    pub(crate) fn is_gift(self) -> bool {
        self.0 & Self::GIFT != 0
    }

    pub(crate) fn number(self) -> usize {
        (self.0 & !Self::GIFT) as usize
    }
}

/// Run, stream, post and the scheduled time in microseconds of the run's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) run: u32,
    pub(crate) stream: u32,
    pub(crate) post: PostId,
    pub(crate) due_us: u64,
}

impl Mark {
    /// The body of this post, filled up to `bytes`: plain ASCII that needs no escapes in JSON.
    pub(crate) fn body(&self, bytes: usize) -> String {
        let Self { run, stream, post, due_us } = self;
        let due_us = due_us & 0xFFFF_FFFF_FFFF;
        let mut body = format!("fl1.{run:08x}.{stream:08x}.{:08x}.{due_us:012x}.", post.bits());
        let missing = bytes.saturating_sub(body.len());
        body.extend(('a'..='w').cycle().take(missing));
        body
    }

    /// Reads the mark at the front of a body; `None` if there is none.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let fields = body.get(..MARK_BYTES)?.strip_prefix(PREFIX)?;
        let dots = fields[8] & fields[17] & fields[26] & fields[39];
        if dots != b'.' || (fields[8] | fields[17] | fields[26] | fields[39]) != b'.' {
            return None;
        }
        let short = |at: usize| u32::try_from(hex(&fields[at..at + 8])?).ok();
        Some(Self {
            run: short(0)?,
            stream: short(9)?,
            post: PostId::from_bits(short(18)?),
            due_us: hex(&fields[27..39])?,
        })
    }
}

/// Reads lower-case hexadecimal digits.
pub(crate) fn hex(digits: &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for digit in digits {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u64::from(digit);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_from_the_body() {
        let mark = Mark { run: 0xdead_beef, stream: 41, post: PostId::gift(7), due_us: 12_345_678_901 };
        for bytes in [0, MARK_BYTES, 200] {
            let body = mark.body(bytes);
            assert_eq!(body.len(), bytes.max(MARK_BYTES));
            assert_eq!(Mark::parse(body.as_bytes()), Some(mark));
        }
        assert!(mark.post.is_gift());
        assert_eq!(mark.post.number(), 7);
    }

    #[test]
    fn other_bodies_have_no_mark() {
        let body = Mark { run: 1, stream: 2, post: PostId::comment(3), due_us: 4 }.body(60);
        for (from, to) in [("fl1.", "fl2."), (".0000", ":0000"), ("00000001", "0000000G")] {
            assert_eq!(Mark::parse(body.replace(from, to).as_bytes()), None);
        }
        assert_eq!(Mark::parse(&body.as_bytes()[..40]), None);
        assert_eq!(Mark::parse(b""), None);
    }
}
