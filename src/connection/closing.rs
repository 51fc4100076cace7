//! The end of a viewer's socket.

use std::{future::poll_fn, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    reader::{FrameReader, Incoming},
    wire::Wire,
};
use crate::{
    hub::{Drained, Seat},
    protocol::{Close, SharedFrame},
};

/// The time that the close frame may take, and then the viewer's answer.
const CLOSING_WITHIN: Duration = Duration::from_secs(1);
/// The least time between the end of writing and the close.
const LINGER: Duration = Duration::from_millis(250);

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionEnd {
    /// The connection is gone.
    Gone,
    /// The viewer closed; its answer is queued.
    Bye,
    /// The server closes.
    Close(Close),
}

/// Says good-bye as far as the viewer listens, and ends the connection.
///
/// The end of writing waits for the viewer's close frame: a proxy that speaks HTTP/2 to the viewer makes a reset of it,
/// which overtakes what the viewer has not read, the close frame included.
pub(super) async fn close_session(wire: &Wire, seat: &Seat, reader: &mut FrameReader<'_>, end: SessionEnd) {
    match end {
        SessionEnd::Gone => return,
        SessionEnd::Bye => {}
        SessionEnd::Close(close) => {
            seat.stop();
            seat.push(&SharedFrame::close(close));
        }
    }
    wire.make_room();
    if !flush(wire, seat, Instant::now() + CLOSING_WITHIN).await {
        wire.cut();
        return;
    }
    let deadline = Instant::now() + CLOSING_WITHIN;
    if matches!(end, SessionEnd::Close(_))
        && timeout_at(deadline, answer(seat, reader)).await == Ok(Answer::Broken)
    {
        hear_out(wire, deadline).await;
    }
    wire.finish();
    hear_out(wire, deadline.max(Instant::now() + LINGER)).await;
    wire.expire();
}

/// The viewer's answer to a close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It closes as well, or has gone.
    Closed,
    /// What it sends can no longer be read as frames.
    Broken,
}

/// Reads frames until the viewer closes; others are ignored, and pings are not answered any more.
async fn answer(seat: &Seat, reader: &mut FrameReader<'_>) -> Answer {
    loop {
        match reader.next().await {
            Incoming::Bye | Incoming::Gone => return Answer::Closed,
            Incoming::Broke(_) => return Answer::Broken,
            Incoming::Text(_) | Incoming::Control | Incoming::Pong(_) => seat.stop(),
        }
    }
}

async fn flush(wire: &Wire, seat: &Seat, deadline: Instant) -> bool {
    loop {
        match seat.drain(Instant::now()) {
            Drained::All | Drained::Held => return true,
            Drained::Shut(_) => return false,
            Drained::Full(_) => {
                tokio::select! {
                    () = wire.writable() => {}
                    () = sleep_until(deadline) => return false,
                }
            }
        }
    }
}

/// Reads and ignores what the viewer still sends, until it closes too: a socket that is closed with unread bytes in it
/// would be cut, and the close frame could be lost.
async fn hear_out(wire: &Wire, deadline: Instant) {
    let mut ignored = [0; 512];
    loop {
        tokio::select! {
            ready = poll_fn(|cx| wire.poll_read_ready(cx)) => {
                let count = wire.try_skip(&mut ignored);
                let again = count.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
                if ready.is_err() || !(again || count.is_ok_and(|count| count > 0)) {
                    return;
                }
            }
            () = sleep_until(deadline) => return,
        }
    }
}
