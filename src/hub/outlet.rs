//! Where a seat's bytes go.

use std::{
    io::{self, IoSlice},
    sync::Arc,
};

/// The write side of a viewer's socket, as far as the hub needs it.
pub trait Outlet: Send + Sync {
    /// Writes as much as fits at once, and returns how many bytes that was.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing fits now; any other error is final.
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Pushes on what earlier writes took and the socket did not, such as encrypted bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if some of it still waits; any other error is final.
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    /// Whether a write costs so much of its own, such as encryption, that the lane leaves it to the viewer's task.
    fn is_deferred(&self) -> bool {
        false
    }
}

/// An outlet that the seat shares with the viewer's task.
pub type SharedOutlet = Arc<dyn Outlet>;
