//! A place in a stream's order.

use std::{fmt, str::FromStr};

use super::{EntryId, Epoch, Timeline};

/// The place right after one entry, or before the first entry of an epoch (`seq` 0, no id).
///
/// Epoch and sequence number alone cannot tell a number that was used twice (a failover to a replica that lagged), so
/// a position names the entry too, and the timeline that it was told on, for the time when the entry is trimmed. Its
/// text form `epoch.seq.id[.timeline]` is opaque to clients; it uses only `[A-Za-z0-9._~-]` and needs no escape in a URL.
///
/// Two positions are equal if they are after the same entry: a place where timelines part is on both.
#[derive(Clone, Copy)]
pub struct Position {
    /// The life of the history that `seq` counts in.
    pub epoch: Epoch,
    /// The entry's number inside the epoch, from 1; 0 before the first.
    pub seq: u64,
    /// The entry's id; none before the first.
    pub id: Option<EntryId>,
    /// The timeline; none for the first one of the epoch.
    pub timeline: Option<Timeline>,
}

/// Sequence numbers stay below 2^53, so that every client's and Lua's number type holds them exactly.
const MAX_SEQ: u64 = 1 << 53;

impl Position {
    /// The place before the first entry of an epoch.
    #[must_use]
    pub const fn start_of(epoch: Epoch) -> Self {
        Self { epoch, seq: 0, id: None, timeline: None }
    }

    /// The place right after an entry of the epoch's first timeline.
    #[must_use]
    pub const fn after(epoch: Epoch, seq: u64, id: EntryId) -> Self {
        Self { epoch, seq, id: Some(id), timeline: None }
    }

    /// The same place on a timeline.
    #[must_use]
    pub const fn on(self, timeline: Option<Timeline>) -> Self {
        Self { timeline, ..self }
    }
}

impl PartialEq for Position {
    fn eq(&self, other: &Self) -> bool {
        (self.epoch, self.seq, self.id) == (other.epoch, other.seq, other.id)
    }
}

impl Eq for Position {}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.as_ref().map_or("~", EntryId::as_str);
        write!(f, "{}.{}.{}", self.epoch, self.seq, id)?;
        self.timeline.map_or(Ok(()), |timeline| write!(f, ".{timeline}"))
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that no server ever sent as a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position")]
pub struct BadPosition;

impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let mut parts = text.splitn(4, '.');
        let (Some(epoch), Some(seq), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(BadPosition);
        };
        let timeline = parts.next().map(str::parse).transpose().map_err(|_| BadPosition)?;
        let epoch = epoch.parse().map_err(|_| BadPosition)?;
        // `u64::from_str` also admits a sign and leading zeroes; a position has one spelling.
        let canonical = seq == "0" || (!seq.starts_with('0') && seq.bytes().all(|b| b.is_ascii_digit()));
        let seq: u64 =
            if canonical { seq.parse().map_err(|_| BadPosition)? } else { return Err(BadPosition) };
        let place = match (seq, id) {
            (0, "~") => Self::start_of(epoch),
            (1..MAX_SEQ, id) => Self::after(epoch, seq, id.parse().map_err(|_| BadPosition)?),
            _ => return Err(BadPosition),
        };
        Ok(place.on(timeline))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_position_reads_back() {
        let epoch = Epoch::random();
        for position in [Position::start_of(epoch), Position::after(epoch, MAX_SEQ - 1, EntryId::random())] {
            for timeline in [None, Some(Timeline::random())] {
                let text = position.on(timeline).to_string();
                assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
            }
        }
    }

    #[test]
    fn a_place_is_the_same_on_another_timeline_and_not_after_another_entry() {
        let (epoch, id) = (Epoch::random(), EntryId::random());
        let place = Position::after(epoch, 7, id);
        assert_eq!(place, place.on(Some(Timeline::random())));
        for other in [
            Position::after(epoch, 8, id),
            Position::after(epoch, 7, EntryId::random()),
            Position::after(Epoch::random(), 7, id),
        ] {
            assert_ne!(place, other);
        }
    }

    #[test]
    fn what_no_server_sent_is_no_position() {
        let id = "AAAAAAAAAAAAAAAA";
        let bad = [
            String::new(),
            "x".into(),
            "..".into(),
            format!("abcdefgh.0.{id}"),
            "abcdefgh.1.~".into(),
            format!("abcdefgh.+1.{id}"),
            format!("abcdefgh.01.{id}"),
            format!("abcdefgh.-1.{id}"),
            format!("abcdefgh.9007199254740992.{id}"),
            format!("abcdefgh.99999999999999999999.{id}"),
            format!("abcdefg.1.{id}"),
            format!("abcdefgh.1.{id}.x"),
            format!("abcdefgh.1.{id}."),
            format!("abcdefgh.1.{id}.abcdef.x"),
        ];
        for bad in bad {
            assert_eq!(bad.parse::<Position>(), Err(BadPosition), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_reads_back(text in "\\PC{0,60}|[A-Za-z]{8}\\.[0-9]{1,17}\\.[A-Za-z~]{1,17}(\\.[A-Za-z]{5,7})?") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string(), text);
            }
        }
    }
}
