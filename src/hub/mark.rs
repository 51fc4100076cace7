//! Places on a tape.

/// A place on a tape. The sums let a seat that fell off the tape know what it missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// How many items came before it.
    pub(super) index: u64,
    /// How many comments came before it.
    pub(super) comments: u64,
    /// How many entries that could not be recovered came before it.
    pub(super) missing: u64,
    /// How many resets came before it.
    pub(super) resets: u64,
    /// How many of the comments were priority entries.
    pub(super) priority: u64,
}

impl Mark {
    pub(super) const ZERO: Self = Self { index: 0, comments: 0, missing: 0, resets: 0, priority: 0 };

    /// How many entries came before it, those that could not be recovered among them.
    pub(super) const fn passed(self) -> u64 {
        self.comments + self.missing
    }
}
