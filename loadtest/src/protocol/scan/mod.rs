//! Reads what the checker needs from a server's JSON without building a tree.
//!
//! A frame costs about a tenth of what the server pays to send it; a tree of `serde_json` costs five times as
//! much as that. Fields may come in any order and unknown ones are passed over, as the protocol demands. What is
//! passed over is not validated (the checker gives one frame in a thousand to `serde_json` for that).

mod cursor;

pub(crate) use cursor::Malformed;

use crate::protocol::mark::Mark;
use cursor::Cursor;

/// The `type` of a frame from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    Hello,
    Comments,
    Removed,
    State,
    Skipped,
    Gap,
    Reset,
    Posted,
    Error,
    Reconnect,
    /// `viewers`, `expiring` and `pong`: nothing for a checker to do.
    Notice,
    /// From a newer server: ignored, and counted.
    #[default]
    Unknown,
}

/// The fields of a frame that the checker looks at; strings are raw, between their quotes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    pub(crate) position: Option<&'a [u8]>,
    pub(crate) seq: Option<u64>,
    pub(crate) count: Option<u64>,
    pub(crate) within_ms: Option<u64>,
    pub(crate) history: bool,
    pub(crate) duplicate: bool,
    pub(crate) reference: Option<&'a [u8]>,
    pub(crate) id: Option<&'a [u8]>,
    pub(crate) code: Option<&'a [u8]>,
    pub(crate) resumed: Option<&'a [u8]>,
}

/// One element of `comments`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    /// Of the server's id.
    pub(crate) digest: u32,
    /// A tombstone: the body is gone.
    pub(crate) removed: bool,
    /// `None` when the body is not of a tester.
    pub(crate) mark: Option<Mark>,
}

/// Scans one text frame. The elements of `comments`, if any, replace what `entries` held.
pub(crate) fn scan<'a>(text: &'a str, entries: &mut Vec<Entry>) -> Result<Frame<'a>, Malformed> {
    entries.clear();
    let mut frame = Frame::default();
    let mut kind = None;
    let mut cursor = Cursor::new(text.as_bytes());
    cursor.members(|cursor, key| {
        match key {
            b"type" => kind = Some(kind_of(cursor.string()?)),
            b"comments" => cursor.elements(|cursor| {
                entries.push(entry(cursor)?);
                Ok(())
            })?,
            b"position" => frame.position = Some(cursor.string()?),
            b"seq" => frame.seq = Some(cursor.integer()?),
            b"count" => frame.count = Some(cursor.integer()?),
            b"within_ms" => frame.within_ms = Some(cursor.integer()?),
            b"history" => frame.history = cursor.boolean()?,
            b"duplicate" => frame.duplicate = cursor.boolean()?,
            b"ref" => frame.reference = Some(cursor.string()?),
            b"id" => frame.id = Some(cursor.string()?),
            b"code" => frame.code = Some(cursor.string()?),
            b"resumed" => frame.resumed = Some(cursor.string()?),
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    cursor.end()?;
    frame.kind = kind.ok_or(Malformed)?;
    complete(&frame, entries)?;
    Ok(frame)
}

/// Holds the frame against its row in the protocol's table.
fn complete(frame: &Frame<'_>, entries: &[Entry]) -> Result<(), Malformed> {
    let ordered = frame.position.is_some();
    let whole = match frame.kind {
        Kind::Hello => ordered && frame.resumed.is_some(),
        Kind::Comments => ordered && !entries.is_empty(),
        Kind::Removed | Kind::State => ordered && frame.seq.is_some(),
        Kind::Skipped => ordered && frame.count.is_some(),
        Kind::Gap | Kind::Reset => ordered,
        Kind::Posted => frame.reference.is_some() && frame.id.is_some() && frame.seq.is_some(),
        Kind::Error => frame.code.is_some(),
        Kind::Reconnect => frame.within_ms.is_some(),
        Kind::Notice | Kind::Unknown => true,
    };
    if whole { Ok(()) } else { Err(Malformed) }
}

fn kind_of(name: &[u8]) -> Kind {
    match name {
        b"hello" => Kind::Hello,
        b"comments" => Kind::Comments,
        b"removed" => Kind::Removed,
        b"state" => Kind::State,
        b"skipped" => Kind::Skipped,
        b"gap" => Kind::Gap,
        b"reset" => Kind::Reset,
        b"posted" => Kind::Posted,
        b"error" => Kind::Error,
        b"reconnect" => Kind::Reconnect,
        b"viewers" | b"expiring" | b"pong" => Kind::Notice,
        _ => Kind::Unknown,
    }
}

fn entry(cursor: &mut Cursor<'_>) -> Result<Entry, Malformed> {
    let (mut seq, mut id, mut removed, mut at, mut body) = (None, None, false, None, None);
    cursor.members(|cursor, key| {
        match key {
            b"seq" => seq = Some(cursor.integer()?),
            b"id" => id = Some(digest(cursor.string()?)),
            b"removed" => removed = cursor.boolean()?,
            b"at" => at = Some(cursor.integer()?),
            b"body" => body = Some(Mark::parse(cursor.string()?)),
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    match (seq, id, at, body) {
        (Some(seq), Some(digest), Some(_), Some(mark)) if !removed => {
            Ok(Entry { seq, digest, removed, mark })
        }
        (Some(seq), Some(digest), ..) if removed => Ok(Entry { seq, digest, removed, mark: None }),
        _ => Err(Malformed),
    }
}

/// A short hash of an id, to see whether two viewers were told the same; eight bytes at a time.
pub(crate) fn digest(id: &[u8]) -> u32 {
    let mut hash = id.len() as u64;
    for chunk in id.chunks(8) {
        let word = chunk.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        hash = (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }
    let [a, b, c, d, ..] = hash.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers of tests are small")]
mod tests;
