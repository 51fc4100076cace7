//! The envelope: one entry of a stream's order, between the pods and in the shard's history.
//!
//! A line of words, a newline, and the comment's fragment of JSON:
//!
//! ```text
//! 1 <ring epoch> <stream epoch> <seq> <id> <previous id or ~> <at, ms> <accepted at, ms> <kind> [more words]\n<fragment>
//! ```
//!
//! The shard itself writes the line (it alone knows `seq`, the previous id and `at`), so it is made of words that a
//! small script can join. A later minor version adds words at the end of the line, which are ignored here; a later
//! major version begins with another number, and is counted and left alone.
//!
//! Two such words are known: `trace=<traceparent>`, on an entry whose post is traced, and `timeline=<timeline>`, on an
//! entry that is not of its epoch's first timeline.

use bytes::Bytes;

use crate::{
    domain::{Comment, EntryId, Epoch, Kind, Position, Timeline},
    telemetry::Traceparent,
};

/// The envelope's major version.
pub const ENVELOPE_VERSION: &str = "1";

/// What the word begins with that names the span of the post.
const TRACE: &str = "trace=";
/// What the word begins with that names the timeline.
const TIMELINE: &str = "timeline=";

/// The part of a comment's JSON object that is known before the shard gave it a place: no braces, no `seq`, no `at`.
///
/// Encoded once for the whole cluster; each pod splices it once between the header and the position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fragment(pub(super) Bytes);

impl Fragment {
    /// Encodes a comment.
    #[must_use]
    pub fn of(comment: &Comment) -> Self {
        #[derive(serde::Serialize)]
        struct Known<'a> {
            id: &'a str,
            kind: Kind,
            author: &'a crate::domain::Author,
            body: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: &'a Option<serde_json::Map<String, serde_json::Value>>,
        }
        let Comment { id, kind, author, body, data, .. } = comment;
        let known = Known { id: id.as_str(), kind: *kind, author, body, data };
        // Strings, maps with string keys and finite numbers: nothing that JSON cannot hold.
        let object = serde_json::to_vec(&known).unwrap_or_default();
        let inside = 1.min(object.len())..object.len().max(2) - 1;
        Self(Bytes::from(object).slice(inside))
    }

    /// The bytes, as they travel.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// One entry of a stream's order, as the shard sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The epoch of the list of shards that the poster's pod knew.
    pub ring_epoch: u64,
    /// The life of the stream's history.
    pub epoch: Epoch,
    /// The entry's number in the epoch, from 1.
    pub seq: u64,
    /// The entry's own id.
    pub id: EntryId,
    /// The id of the entry before it; none for the first of an epoch.
    pub previous: Option<EntryId>,
    /// The timeline that the entry is on; none for the first one of its epoch.
    pub timeline: Option<Timeline>,
    /// The shard's time, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// When the poster's pod accepted it, in milliseconds since the Unix epoch.
    pub accepted_at_ms: u64,
    /// Whether a viewer may not miss it while it can be served: every kind but a plain comment.
    pub priority: bool,
    /// The span of its post, if that is traced.
    pub trace: Option<Traceparent>,
    /// The comment.
    pub fragment: Fragment,
}

/// A payload that is not an envelope of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadEnvelope {
    /// A newer (or older) pod wrote it.
    #[error("an envelope of another version")]
    Version,
    /// A stranger wrote it.
    #[error("not an envelope")]
    Garbage,
}

impl Entry {
    /// The place right after this entry.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position::after(self.epoch, self.seq, self.id).on(self.timeline)
    }

    /// The place right before this entry, on its timeline.
    #[must_use]
    pub const fn before(&self) -> Position {
        let Self { epoch, seq, previous, timeline, .. } = *self;
        Position { epoch, seq: seq.saturating_sub(1), id: previous, timeline }
    }

    /// Writes the envelope.
    #[must_use]
    pub fn encode(&self, kind: &str) -> Bytes {
        let previous = self.previous.as_ref().map_or("~", EntryId::as_str);
        let Self { ring_epoch, epoch, seq, id, at_ms, accepted_at_ms, fragment, .. } = self;
        let timeline = self.timeline.map(|timeline| format!(" {TIMELINE}{timeline}")).unwrap_or_default();
        let trace = self.trace.map(|trace| format!(" {TRACE}{trace}")).unwrap_or_default();
        let mut text = format!(
            "{ENVELOPE_VERSION} {ring_epoch} {epoch} {seq} {id} {previous} {at_ms} {accepted_at_ms} {kind}{timeline}{trace}\n"
        )
        .into_bytes();
        text.extend_from_slice(&fragment.0);
        text.into()
    }

    /// Reads an envelope; the fragment shares its bytes.
    ///
    /// # Errors
    /// [`BadEnvelope`]: another version's, or a stranger's.
    pub fn decode(payload: &Bytes) -> Result<Self, BadEnvelope> {
        let end =
            payload.iter().take(MAX_LINE_BYTES).position(|b| *b == b'\n').ok_or(BadEnvelope::Garbage)?;
        let line = std::str::from_utf8(&payload[..end]).map_err(|_| BadEnvelope::Garbage)?;
        let mut words = line.split(' ');
        match words.next() {
            Some(ENVELOPE_VERSION) => {}
            Some(other) if !other.is_empty() && other.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(BadEnvelope::Version);
            }
            _ => return Err(BadEnvelope::Garbage),
        }
        let fragment = Fragment(payload.slice(end + 1..));
        let entry = Self::from_words(words, fragment).ok_or(BadEnvelope::Garbage)?;
        let first = entry.seq == 1;
        // The fragment becomes part of a frame for everybody: it must at least be text, and an object's inside.
        let plausible = entry.seq > 0
            && first == entry.previous.is_none()
            && std::str::from_utf8(&entry.fragment.0).is_ok_and(|text| text.starts_with("\"id\":"));
        if plausible { Ok(entry) } else { Err(BadEnvelope::Garbage) }
    }

    fn from_words<'a>(mut words: impl Iterator<Item = &'a str>, fragment: Fragment) -> Option<Self> {
        let mut entry = Self {
            ring_epoch: words.next()?.parse().ok()?,
            epoch: words.next()?.parse().ok()?,
            seq: words.next()?.parse().ok()?,
            id: words.next()?.parse().ok()?,
            previous: match words.next()? {
                "~" => None,
                id => Some(id.parse().ok()?),
            },
            timeline: None,
            at_ms: words.next()?.parse().ok()?,
            accepted_at_ms: words.next()?.parse().ok()?,
            priority: false,
            trace: None,
            fragment,
        };
        // The kind is in the fragment too.
        entry.priority = words.next()? != Kind::Comment.name();
        // A trace that cannot be read is no reason to lose the comment.
        for word in words {
            if let Some(trace) = word.strip_prefix(TRACE) {
                entry.trace = trace.parse().ok();
            } else if let Some(timeline) = word.strip_prefix(TIMELINE) {
                entry.timeline = Some(timeline.parse().ok()?);
            }
        }
        Some(entry)
    }
}

/// A line is about 120 bytes; a payload without a newline near its beginning is nobody's envelope.
const MAX_LINE_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the first version wrote it. A file is never changed: what was written so is in histories, and on the way.
    fn golden() -> Bytes {
        Bytes::from_static(include_bytes!("golden/1.0-gift.txt"))
    }

    #[test]
    fn the_golden_envelope_reads_and_writes_back() {
        let entry = Entry::decode(&golden()).unwrap();
        assert_eq!((entry.ring_epoch, entry.seq, entry.at_ms), (3, 7, 1_700_000_000_123));
        assert_eq!(entry.position().to_string(), "abcdefgh.7.ABCDEFGHIJKLMNOP");
        assert_eq!(entry.before().to_string(), "abcdefgh.6.QRSTUVWXYZabcdef");
        assert_eq!(entry.encode("gift"), golden());
        assert!(entry.priority);
        let comment = String::from_utf8(golden().to_vec()).unwrap().replace("gift", "comment");
        assert!(!Entry::decode(&comment.into()).unwrap().priority);
    }

    #[test]
    fn words_of_a_newer_minor_version_are_ignored() {
        let newer = String::from_utf8(golden().to_vec()).unwrap().replace("gift\n", "gift trace=1 x\n");
        assert_eq!(Entry::decode(&newer.into()), Entry::decode(&golden()));
    }

    /// The word is the last one, so that a pod which does not know it reads the envelope as before; and an envelope
    /// without it, as such a pod writes it, is what it was.
    #[test]
    fn the_golden_traced_envelope_reads_and_writes_back() {
        let traced = Bytes::from_static(include_bytes!("golden/1.1-traced.txt"));
        let entry = Entry::decode(&traced).unwrap();
        assert_eq!(entry.encode("gift"), traced);
        assert_eq!(Entry { trace: None, ..entry }, Entry::decode(&golden()).unwrap());
        let unreadable = String::from_utf8(traced.to_vec()).unwrap().replace("-01\n", "-00\n");
        assert_eq!(Entry::decode(&unreadable.into()), Entry::decode(&golden()));
    }

    #[test]
    fn the_golden_envelope_on_a_timeline_reads_and_writes_back() {
        let later = Bytes::from_static(include_bytes!("golden/1.2-timeline.txt"));
        let entry = Entry::decode(&later).unwrap();
        assert_eq!(entry.encode("gift"), later);
        assert_eq!(entry.position().to_string(), "abcdefgh.7.ABCDEFGHIJKLMNOP.zyxwvu");
        assert_eq!(entry.before().to_string(), "abcdefgh.6.QRSTUVWXYZabcdef.zyxwvu");
        assert_eq!(Entry { trace: None, timeline: None, ..entry }, Entry::decode(&golden()).unwrap());
    }

    #[test]
    fn strangers_are_told_from_newer_versions() {
        let text = String::from_utf8(golden().to_vec()).unwrap();
        let cases = [
            (text.replacen('1', "2", 1), BadEnvelope::Version),
            (String::new(), BadEnvelope::Garbage),
            ("hello".into(), BadEnvelope::Garbage),
            ("1 3\n".into(), BadEnvelope::Garbage),
            (text.replace(" 7 ", " 0 "), BadEnvelope::Garbage),
            (text.replace(" 7 ", " 1 "), BadEnvelope::Garbage),
            (text.replace(" 7 ", " -7 "), BadEnvelope::Garbage),
            (text.replace("QRSTUVWXYZabcdef", "~"), BadEnvelope::Garbage),
            (text.replace("\"id\"", "}"), BadEnvelope::Garbage),
            ("1".repeat(10_000), BadEnvelope::Garbage),
        ];
        for (text, error) in cases {
            assert_eq!(Entry::decode(&text.clone().into()), Err(error), "{text}");
        }
        let not_text = [&golden()[..], b"\xff"].concat();
        assert_eq!(Entry::decode(&not_text.into()), Err(BadEnvelope::Garbage));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Entry::decode(&Bytes::from(bytes));
        }
    }
}
