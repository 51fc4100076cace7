//! What the pod tells about itself: logs, traces, and the measures behind its service levels.
//!
//! Only this closet knows OpenTelemetry. The other rooms tell [`Sli`] what happened, one method an event. Nothing here
//! makes them wait: lines, spans and pushes that find no taker are dropped and counted.

mod events;
mod figures;
mod flood;
mod ignored;
mod instruments;
mod logs;
mod meters;
mod otlp;
mod prometheus;
mod push;
mod resource;
mod rolling_histogram;
mod sli;
mod spans;
mod tally;
mod target;
mod trace;
mod version;
mod writer;

pub use events::{JoinSource, Objectives, PostOutcome, Seating};
pub use figures::{Counts, Figures, ShardFigures};
pub use prometheus::PROMETHEUS_TEXT;
pub use resource::PodIdentity;
pub use rolling_histogram::Quantiles;
pub use sli::Sli;
pub use trace::{BadTraceparent, CallerSpan, TracedEntry, Traceparent, post_span};
pub use version::{BUILD, VERSION, VERSION_AND_BUILD};

use ignored::Ignored;
use otlp::OtlpSettings;
use push::{Push, Pushed};
use writer::Pen;

/// Everything that the pod tells about itself.
pub struct Telemetry {
    sli: Sli,
    pen: Pen,
    push: Option<Push>,
}

impl Telemetry {
    /// Begins to log, to measure, and to push what the `OTEL_*` settings say. One that is not understood is logged and
    /// ignored.
    ///
    /// # Errors
    /// A `RUST_LOG` that cannot be read, or a thread that does not start.
    pub fn start(identity: &PodIdentity, objectives: Objectives) -> Result<Self, String> {
        let variable = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
        let (settings, ignored) = OtlpSettings::read(variable);
        let (resource, unread) = resource::read(identity, variable);
        let sli = Sli::of(resource.clone(), objectives);
        let (tracer, spans) = settings
            .traces
            .as_ref()
            .map(|_| spans::tracer(&settings, resource.clone(), &sli))
            .map_or((None, None), |(tracer, spans)| (Some(tracer), Some(spans)));
        if let Some(tracer) = &tracer {
            trace::begin(tracer.clone());
        }
        let pen = logs::start(&sli, tracer)?;
        let PodIdentity { pod, track } = identity;
        tracing::info!(version = VERSION, build = BUILD, pod, track, "starting");
        for Ignored { setting, reason } in ignored.into_iter().chain(unread) {
            tracing::warn!(setting, reason, "setting ignored");
        }
        let pushes = settings.metrics.is_some() || settings.traces.is_some();
        let pushed = Pushed { settings, resource, sli: sli.clone(), spans };
        let push = pushes.then(|| Push::start(pushed)).transpose()?;
        Ok(Self { sli, pen, push })
    }

    /// Where events are counted and durations measured.
    #[must_use]
    pub fn sli(&self) -> Sli {
        self.sli.clone()
    }

    /// Pushes what is left and writes the last lines; takes at most two seconds, whoever hangs.
    pub fn end(self) {
        if let Some(push) = self.push {
            push.end();
        }
        self.pen.finish();
    }
}
