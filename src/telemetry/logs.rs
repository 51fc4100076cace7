//! Logs: lines on standard error, for a person or as JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Starts logging to standard error: text on a terminal, JSON elsewhere; filtered by `RUST_LOG` (default `info`).
///
/// A log never holds a comment's text, a token or a client's address.
///
/// # Errors
/// A filter that cannot be read, or logging that was started before.
pub fn start_logs() -> Result<(), String> {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .from_env()
        .map_err(|error| format!("RUST_LOG: {error}"))?;
    let terminal = std::io::stderr().is_terminal();
    let text = terminal.then(|| fmt::layer().with_target(false).with_writer(std::io::stderr));
    let json = (!terminal).then(|| fmt::layer().json().flatten_event(true).with_writer(std::io::stderr));
    tracing_subscriber::registry()
        .with(filter)
        .with(text)
        .with(json)
        .try_init()
        .map_err(|error| error.to_string())
}
