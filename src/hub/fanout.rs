//! The settings of fan-out.

use std::time::Duration;

use super::heat::HOT_FROM;

/// How fan-out is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fanout {
    /// Among how many lanes the viewers are shared; one for each worker. At least one.
    pub lanes: usize,
    /// How long the frames of a hot stream are gathered at the most; zero: never.
    pub window: Duration,
    /// From how many deliveries a second on (comments × viewers on this pod) a stream is hot.
    pub hot_from: u32,
}

impl Fanout {
    /// So many lanes, and so long a window for the usual sort of hot stream.
    #[must_use]
    pub const fn new(lanes: usize, window: Duration) -> Self {
        Self { lanes, window, hot_from: HOT_FROM }
    }
}
