//! What the pod tells about itself: logs, traces, and the measures behind its service levels.
//!
//! Only this closet knows OpenTelemetry. The other rooms tell [`Sli`] what happened, one method an event. Nothing here
//! makes them wait: lines, spans and pushes that find no taker are dropped and counted.

mod flood;
mod instruments;
mod lately;
mod logs;
mod meters;
mod otlp;
mod prometheus;
mod push;
mod sli;
mod spans;
mod tally;
mod trace;
mod writer;

pub use lately::Quantiles;
pub use prometheus::PROMETHEUS_TEXT;
pub use sli::{Counts, Figures, Identity, JoinSource, Objectives, PostOutcome, Seating, ShardFigures, Sli};
pub use trace::{BadTraceparent, CallerSpan, Traceparent, deliver_span, post_span};

use otlp::Settings;
use push::{Push, Pushed};
use writer::Pen;

/// Everything that the pod tells about itself.
pub struct Telemetry {
    sli: Sli,
    pen: Pen,
    push: Option<Push>,
}

impl Telemetry {
    /// Begins to log, to measure, and to push what the `OTEL_*` settings say.
    ///
    /// # Errors
    /// `RUST_LOG` or `OTEL_*` settings that cannot be meant, each in a line.
    pub fn start(identity: &Identity, objectives: Objectives) -> Result<Self, String> {
        let settings = Settings::read(|name| std::env::var(name).ok())?;
        let sli = Sli::new(identity, objectives);
        let resource = meters::resource(identity);
        let (tracer, spans) = settings
            .traces
            .then(|| spans::tracer(&settings, resource.clone(), &sli))
            .map_or((None, None), |(tracer, spans)| (Some(tracer), Some(spans)));
        if tracer.is_some() {
            trace::begin();
        }
        let pen = logs::start(&sli, tracer)?;
        let pushes = settings.metrics || settings.traces;
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
