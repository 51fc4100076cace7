//! The meters' provider, and the one reader that both the push and `/metrics` read from.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::{
        InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality, data::ResourceMetrics,
        reader::MetricReader,
    },
};

/// The instrumentation scope of every signal.
pub(super) const SCOPE: &str = "fanfare";

/// The meters of a pod. Counts are cumulative.
pub(super) struct Meters {
    provider: SdkMeterProvider,
    reader: SharedReader,
}

impl Meters {
    pub(super) fn new(resource: Resource) -> Self {
        let reader = SharedReader(Arc::new(ManualReader::builder().build()));
        let provider =
            SdkMeterProvider::builder().with_resource(resource).with_reader(reader.clone()).build();
        Self { provider, reader }
    }

    pub(super) fn meter(&self) -> Meter {
        self.provider.meter(SCOPE)
    }

    /// Everything that was measured so far.
    pub(super) fn collect(&self) -> ResourceMetrics {
        let mut metrics = ResourceMetrics::default();
        if let Err(error) = self.reader.collect(&mut metrics) {
            tracing::error!(%error, "the meters cannot be read");
        }
        metrics
    }
}

/// A reader that is asked; a handle to it stays here when the provider takes it.
#[derive(Debug, Clone)]
struct SharedReader(Arc<ManualReader>);

impl MetricReader for SharedReader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
