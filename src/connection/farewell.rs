//! The end of a viewer's socket.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::wire::Wire;
use crate::{
    hub::{Drained, Seat},
    protocol::{Close, SharedFrame},
};

/// How long the close frame, and then the viewer's answer, may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The connection is gone.
    Gone,
    /// The viewer closed; its answer is queued.
    Bye,
    /// The server closes.
    Close(Close),
}

/// Says good-bye as far as the viewer listens, and ends the connection.
pub(super) async fn farewell(wire: &Wire, seat: &Seat, end: End) {
    match end {
        End::Gone => return,
        End::Bye => {}
        End::Close(close) => {
            seat.stop();
            seat.push(&SharedFrame::close(close));
        }
    }
    if !flush(wire, seat, Instant::now() + FAREWELL).await {
        wire.cut();
        return;
    }
    wire.finish();
    hear_out(wire, Instant::now() + FAREWELL).await;
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
            ready = wire.socket().readable() => {
                let count = wire.socket().try_read(&mut ignored);
                let again = count.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
                if ready.is_err() || !(again || count.is_ok_and(|count| count > 0)) {
                    return;
                }
            }
            () = sleep_until(deadline) => return,
        }
    }
}
