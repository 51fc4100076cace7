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
}

impl<T: Outlet> Outlet for Arc<T> {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (**self).try_write_vectored(slices)
    }
}
