//! The states of a seat.

use crate::protocol::Close;

/// Who writes the stream's frames to this socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nobody yet: the viewer reads what came before, as frames of its own.
    Joining,
    /// The viewer's task: the socket was full, or the viewer has just entered.
    Lagging,
    /// The lane; for a deferred seat it tells the viewer's task.
    Prompt,
    /// The viewer's task, as the lane told it: the seat is deferred, and keeps up.
    Due,
    /// Nobody any more: only the viewer's own frames go out, such as a close.
    Closing,
    /// Nobody, and nothing goes out.
    Shut(Option<Close>),
}
