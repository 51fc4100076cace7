//! Fan-out on one pod: streams, their tapes, the viewers' seats, and the lanes that write.
//!
//! A *tape* is the bounded ring of frames that a stream's viewers share. A *seat* is a viewer's cursor into the tape and
//! the write side of its socket. *Lanes* share the seats among the workers: a lane writes each new frame to its seats'
//! sockets itself, without a channel or a task in between. A viewer whose socket is full lags: its own task goes on
//! writing for it, and what falls off the tape meanwhile is told to it as `skipped`. Only plain comments are: priority
//! entries (gifts and the like) outlive them, and a viewer about to miss one is closed, to resume.
//!
//! A stream that is *hot* on this pod is flushed at most once a *window*: what came meanwhile goes out in one write. A
//! stream's first comment after quiet goes out at once, and a stream that is not hot never waits.
//!
//! The hub knows neither Redis nor HTTP. When a stream's audience appears or vanishes it says so through [`Nudge`].

mod batch;
mod explain;
mod fanout;
mod heat;
mod inbox;
mod item;
mod lane;
mod mark;
mod out;
mod outlet;
mod phase;
mod retained;
mod rolling_counts;
mod seat;
mod seat_core;
mod stream;
mod streams;
mod tape;
#[cfg(test)]
mod tests;
mod timing;
mod views;

pub use explain::{Explained, Outstanding, Survey};
pub use fanout::Fanout;
pub use item::Item;
pub use lane::Lane;
pub use mark::Mark;
pub use outlet::{Outlet, SharedOutlet};
pub use rolling_counts::{Activity, LATELY};
pub use seat::Seat;
pub use seat_core::Drained;
pub use stream::Opening;
pub use streams::{Hub, Nudge, Totals};
pub use tape::{Located, RECENT_COMMENTS};
pub use views::{SeatsView, TapeView};
