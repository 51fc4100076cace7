//! Logs: lines on standard error, for a person or as JSON.

use std::io::{self, IsTerminal as _};

use opentelemetry_sdk::trace::SdkTracer;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, LevelFilter, filter_fn},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use super::{flood::Flood, sli::Sli, trace, writer::Pen};

/// Starts logging to standard error: text on a terminal, JSON elsewhere; filtered by `RUST_LOG` (default `info`).
///
/// A log never holds a comment's text, a token or a client's address.
///
/// # Errors
/// A filter that cannot be read, or logging that was started before.
pub(super) fn start(sli: &Sli, tracer: Option<SdkTracer>) -> Result<Pen, String> {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .from_env()
        .map_err(|error| format!("RUST_LOG: {error}"))?;
    let pen = Pen::start(sli).map_err(|error| error.to_string())?;
    let is_terminal = io::stderr().is_terminal();
    let to_pen = fmt::layer().with_writer(pen.clone());
    let lines = if is_terminal {
        to_pen.with_target(false).boxed()
    } else {
        to_pen.json().flatten_event(true).boxed()
    };
    let is_ours = |metadata: &tracing::Metadata<'_>| metadata.is_span() && metadata.target() == trace::TARGET;
    // Spans are made where they are traced, whatever the log's filter says; and lines in them tell the trace's id.
    let told =
        filter.or(filter_fn(is_ours).with_max_level_hint(LevelFilter::INFO)).and(Flood::new(sli.clone()));
    let spans = tracer.map(|tracer| {
        let spans = tracing_opentelemetry::layer().with_tracer(tracer).with_location(false);
        spans.with_threads(false).with_tracked_inactivity(false).with_filter(filter_fn(is_ours))
    });
    tracing_subscriber::registry()
        .with(spans)
        .with(lines.with_filter(told))
        .try_init()
        .map_err(|error| error.to_string())?;
    // The usual hook waits for standard error.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(pen)
}
