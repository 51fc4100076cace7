//! Finished spans on their way out: a bounded queue, and the rule which of them are made.

use std::time::Duration;

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceId, TracerProvider as _},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        Sampler, SamplingResult, SdkTracer, SdkTracerProvider, ShouldSample, Span, SpanData, SpanProcessor,
    },
};
use tokio::sync::mpsc;

use super::{events::Signal, meters::SCOPE, otlp::OtlpSettings, sli::Sli};

/// How many finished spans wait to be pushed, at about 1 KiB each. A further one is dropped and counted.
const QUEUE: usize = 2_048;

/// Makes spans; what comes out at the other end is for the push.
pub(super) fn tracer(
    settings: &OtlpSettings,
    resource: Resource,
    sli: &Sli,
) -> (SdkTracer, mpsc::Receiver<SpanData>) {
    let (queue, finished) = mpsc::channel(QUEUE);
    let sampler = LinkAware { inner: settings.sampler.clone(), follows: settings.follows };
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(sampler)
        .with_span_processor(Queue { queue, sli: sli.clone() })
        .build();
    (provider.tracer(SCOPE), finished)
}

/// A span that links to a sampled one of another pod is sampled too: the poster's pod has decided.
#[derive(Debug, Clone)]
struct LinkAware {
    inner: Sampler,
    follows: bool,
}

impl ShouldSample for LinkAware {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let linked = links.iter().any(|link| link.span_context.is_sampled());
        let sampler = if linked && self.follows { &Sampler::AlwaysOn } else { &self.inner };
        sampler.should_sample(parent, trace, name, kind, attributes, links)
    }
}

/// Takes finished spans; never waits.
#[derive(Debug)]
struct Queue {
    queue: mpsc::Sender<SpanData>,
    sli: Sli,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.queue.try_send(span).is_err() {
            self.sli.dropped(Signal::Spans, 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
