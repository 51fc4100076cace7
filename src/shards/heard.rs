//! The switch of the test build: a pod that keeps streams current which nobody watches, as if each had a viewer without
//! a socket. The tester's `ab` measures with it what that would cost; the default build does not have it.

use std::{
    io::{self, IoSlice},
    sync::Arc,
};

use crate::{
    domain::StreamId,
    hub::{Hub, Outlet},
};

/// The streams to hear, separated by commas.
const VARIABLE: &str = "FANFARE_HEAR";

/// A viewer without a socket.
struct Nobody;

impl Outlet for Nobody {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

/// Hears the streams for as long as the process lives.
///
/// # Errors
/// A name that no stream can have.
pub(super) fn hear(hub: &Hub) -> Result<(), String> {
    let names = std::env::var(VARIABLE).unwrap_or_default();
    for name in names.split(',').filter(|name| !name.is_empty()) {
        let stream: StreamId = name.parse().map_err(|error| format!("{VARIABLE}: {name:?}: {error}"))?;
        // No lane ever learns of the seat: its stream is watched, and nothing is written.
        std::mem::forget(hub.sit(&stream, Arc::new(Nobody)));
    }
    Ok(())
}
