//! What a viewer of the load test leaves behind.

use super::seats::Seat;
use crate::check::checker::{Checker, Stay};

/// What a viewer saw of one stream.
pub(crate) struct Visit {
    pub(crate) stream: u32,
    pub(crate) checker: Checker,
    pub(crate) stay: Stay,
}

/// What is left of a viewer at the end.
pub(crate) struct Departure {
    pub(crate) seat: Seat,
    pub(crate) joined: bool,
    /// The last one is where it was at the end.
    pub(crate) visits: Vec<Visit>,
}
