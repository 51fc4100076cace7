//! A place in a stream's order.

use std::{fmt, str::FromStr};

use super::{EntryId, Epoch};

/// The place right after one entry, or before the first entry of an epoch (`seq` 0, no id).
///
/// Epoch and sequence number alone cannot tell a number that was used twice (a failover to a replica that lagged), so
/// a position names the entry too. Its text form `epoch.seq.id` is opaque to clients; it uses only `[A-Za-z0-9._~-]`
/// and needs no escape in a URL.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The life of the history that `seq` counts in.
    pub epoch: Epoch,
    /// The entry's number inside the epoch, from 1; 0 before the first.
    pub seq: u64,
    /// The entry's id; none before the first.
    pub id: Option<EntryId>,
}

/// Sequence numbers stay below 2^53, so that every client's and Lua's number type holds them exactly.
const MAX_SEQ: u64 = 1 << 53;

impl Position {
    /// The place before the first entry of an epoch.
    #[must_use]
    pub const fn start_of(epoch: Epoch) -> Self {
        Self { epoch, seq: 0, id: None }
    }

    /// The place right after an entry.
    #[must_use]
    pub const fn after(epoch: Epoch, seq: u64, id: EntryId) -> Self {
        Self { epoch, seq, id: Some(id) }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.as_ref().map_or("~", EntryId::as_str);
        write!(f, "{}.{}.{}", self.epoch, self.seq, id)
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
        let mut parts = text.splitn(3, '.');
        let (Some(epoch), Some(seq), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(BadPosition);
        };
        let epoch = epoch.parse().map_err(|_| BadPosition)?;
        // `u64::from_str` also admits a sign and leading zeroes; a position has one spelling.
        let canonical = seq == "0" || (!seq.starts_with('0') && seq.bytes().all(|b| b.is_ascii_digit()));
        let seq: u64 =
            if canonical { seq.parse().map_err(|_| BadPosition)? } else { return Err(BadPosition) };
        match (seq, id) {
            (0, "~") => Ok(Self::start_of(epoch)),
            (1..MAX_SEQ, id) => Ok(Self::after(epoch, seq, id.parse().map_err(|_| BadPosition)?)),
            _ => Err(BadPosition),
        }
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
            assert_eq!(position.to_string().parse(), Ok(position));
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
        ];
        for bad in bad {
            assert_eq!(bad.parse::<Position>(), Err(BadPosition), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_reads_back(text in "\\PC{0,60}|[A-Za-z]{8}\\.[0-9]{1,17}\\.[A-Za-z~]{1,17}") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string(), text);
            }
        }
    }
}
