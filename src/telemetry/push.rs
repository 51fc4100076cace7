//! Pushes metrics and spans to a collector, on a thread of its own: whatever the collector does, the workers do not
//! notice. What does not arrive is dropped and counted; metrics lose nothing by that, since counts are cumulative.

use std::{io, thread::JoinHandle, time::Duration};

use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::{
    Resource,
    metrics::exporter::PushMetricExporter as _,
    trace::{SpanData, SpanExporter as _},
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{events::Signal, otlp::OtlpSettings, sli::Sli};

/// How long a push may take, whatever the exporter thinks of it.
const PUSH_WITHIN: Duration = Duration::from_secs(15);
/// How long the last pushes may take at the pod's end.
const LAST_WITHIN: Duration = Duration::from_millis(1_500);
/// The most spans in one push.
const MOST_SPANS: usize = 512;

/// The thread that pushes.
pub(super) struct Push {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

/// What is pushed.
pub(super) struct Pushed {
    pub(super) settings: OtlpSettings,
    pub(super) resource: Resource,
    pub(super) sli: Sli,
    /// Finished spans; none where none are made.
    pub(super) spans: Option<mpsc::Receiver<SpanData>>,
}

impl Push {
    /// Begins to push.
    ///
    /// # Errors
    /// A thread or a runtime that does not start.
    pub(super) fn start(pushed: Pushed) -> Result<Self, String> {
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (mut metrics, mut spans) = {
            // The exporters' connections live on the runtime that they are made in.
            let _inside = runtime.enter();
            (Metrics::of(&pushed), Spans::of(pushed))
        };
        let stopped = stop.clone();
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = push_metrics(&mut metrics) => {}
                    () = push_spans(&mut spans) => {}
                    () = stopped.cancelled() => {}
                }
                let last = async { tokio::join!(last_metrics(&mut metrics), last_spans(&mut spans)) };
                // Who waits for it knows nothing better to do.
                let _ = timeout(LAST_WITHIN, last).await;
            });
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("push".to_owned()).spawn(work);
        Ok(Self { stop, thread: thread.map_err(|error: io::Error| error.to_string())? })
    }

    /// Pushes what is left, and ends; within [`LAST_WITHIN`].
    pub(super) fn end(self) {
        self.stop.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the thread that pushes panicked");
        }
    }
}

/// Says when a collector goes and when it comes back, not each time that it is away.
#[derive(Default)]
struct Reach {
    away: bool,
}

impl Reach {
    fn note(&mut self, signal: &str, result: Result<(), String>) -> bool {
        match result {
            Ok(()) if std::mem::take(&mut self.away) => {
                tracing::info!(signal, "the collector takes them again");
            }
            Ok(()) => {}
            Err(error) if !std::mem::replace(&mut self.away, true) => {
                tracing::warn!(signal, error, "the collector does not take them; what is lost is counted");
            }
            Err(error) => tracing::debug!(signal, error, "the collector does not take them"),
        }
        !self.away
    }
}

/// Waits for a push, but not for ever.
async fn within(push: impl Future<Output = opentelemetry_sdk::error::OTelSdkResult>) -> Result<(), String> {
    match timeout(PUSH_WITHIN, push).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("it does not answer".to_owned()),
    }
}

/// Returns an exporter, or `None` and logs the reason: the pod serves without it.
fn made<E>(signal: &str, exporter: Result<E, String>) -> Option<E> {
    exporter
        .inspect_err(|error| tracing::warn!(signal, error, "exporter not started, nothing is pushed"))
        .ok()
}

struct Metrics {
    exporter: Option<MetricExporter>,
    every: Duration,
    sli: Sli,
    reach: Reach,
}

impl Metrics {
    fn of(Pushed { settings, sli, .. }: &Pushed) -> Self {
        let exporter = settings.metrics.as_ref().and_then(|target| made("metrics", target.metrics()));
        Self { exporter, every: settings.every, sli: sli.clone(), reach: Reach::default() }
    }
}

async fn push_metrics(metrics: &mut Metrics) {
    if metrics.exporter.is_none() {
        return std::future::pending().await;
    }
    let mut tick = interval(metrics.every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first one is due at once, and there is nothing to tell yet.
    tick.tick().await;
    loop {
        tick.tick().await;
        last_metrics(metrics).await;
    }
}

async fn last_metrics(Metrics { exporter, sli, reach, .. }: &mut Metrics) {
    let Some(exporter) = exporter else { return };
    let collected = sli.meters().collect();
    if !reach.note("metrics", within(exporter.export(&collected)).await) {
        sli.dropped(Signal::Metrics, 1);
    }
}

struct Spans {
    exporter: Option<(SpanExporter, mpsc::Receiver<SpanData>)>,
    gather: Duration,
    sli: Sli,
    reach: Reach,
}

impl Spans {
    fn of(Pushed { settings, resource, sli, spans }: Pushed) -> Self {
        let exporter = settings.traces.zip(spans).and_then(|(target, spans)| {
            let mut exporter = made("spans", target.spans())?;
            exporter.set_resource(&resource);
            Some((exporter, spans))
        });
        Self { exporter, gather: settings.gather, sli, reach: Reach::default() }
    }
}

async fn push_spans(spans: &mut Spans) {
    loop {
        tokio::time::sleep(spans.gather).await;
        last_spans(spans).await;
    }
}

/// Pushes all spans that wait, some at a time.
async fn last_spans(Spans { exporter, sli, reach, .. }: &mut Spans) {
    let Some((exporter, queue)) = exporter else { return };
    while !queue.is_empty() {
        let mut some = Vec::with_capacity(MOST_SPANS);
        let count = queue.recv_many(&mut some, MOST_SPANS).await;
        if !reach.note("spans", within(exporter.export(some)).await) {
            sli.dropped(Signal::Spans, count as u64);
        }
    }
}
