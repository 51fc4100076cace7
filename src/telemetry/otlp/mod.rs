//! The standard `OTEL_*` settings: the pushed signals, their destination and interval, and the traced posts.
//!
//! As the specification asks, an empty variable is an unset one, and a value that is not understood is ignored with a
//! warning: a setting of the telemetry never stops a pod. See
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.

use std::time::Duration;

use opentelemetry_otlp::Protocol;
use opentelemetry_sdk::trace::Sampler;

use super::{
    ignored::Ignored,
    target::{self, Target},
};

/// The pushed signals.
#[derive(Debug, Clone)]
pub(super) struct OtlpSettings {
    /// The destination of metrics, if they are pushed.
    pub(super) metrics: Option<Target>,
    /// The destination of spans, if they are made and pushed.
    pub(super) traces: Option<Target>,
    /// The interval between pushes of metrics.
    pub(super) every: Duration,
    /// The longest time that a finished span waits for others.
    pub(super) gather: Duration,
    /// The choice of traced posts.
    pub(super) sampler: Sampler,
    /// Whether spans that belong to a post of another pod are made; the poster's pod has decided that it is traced.
    pub(super) follows: bool,
}

impl OtlpSettings {
    /// Reads the environment. Without an endpoint nothing is pushed.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> (Self, Vec<Ignored>) {
        let mut reading = EnvReading { variable, ignored: Vec::new() };
        let off = reading.is_disabled();
        let (sampler, follows) = reading.sampler();
        let settings = Self {
            metrics: reading.target("METRICS").filter(|_| !off),
            traces: reading.target("TRACES").filter(|_| !off),
            every: reading.millis("OTEL_METRIC_EXPORT_INTERVAL", 60_000),
            gather: reading.millis("OTEL_BSP_SCHEDULE_DELAY", 5_000),
            sampler,
            follows,
        };
        reading.temporality();
        (settings, reading.ignored)
    }
}

struct EnvReading<V> {
    variable: V,
    ignored: Vec<Ignored>,
}

impl<V: Fn(&str) -> Option<String>> EnvReading<V> {
    /// A variable's value; an empty one is none.
    fn text(&self, name: &str) -> Option<String> {
        let value = (self.variable)(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn ignore(&mut self, setting: &str, reason: String) {
        self.ignored.push(Ignored { setting: setting.to_owned(), reason });
    }

    fn is_disabled(&mut self) -> bool {
        let name = "OTEL_SDK_DISABLED";
        match self.text(name).unwrap_or_default().to_ascii_lowercase().as_str() {
            "true" => true,
            "" | "false" => false,
            other => {
                self.ignore(name, format!("expected true or false, found {other:?}: false is in use"));
                false
            }
        }
    }

    /// The names and values of a setting for one signal and for all; the first one that is understood counts.
    fn given(&self, signal: &str, what: &str) -> Vec<(String, String)> {
        let names = [format!("OTEL_EXPORTER_OTLP_{signal}_{what}"), format!("OTEL_EXPORTER_OTLP_{what}")];
        names.into_iter().filter_map(|name| self.text(&name).map(|value| (name, value))).collect()
    }

    /// Returns whether a signal is meant for a collector. A list of exporters is read as each of them.
    fn is_for_otlp(&mut self, signal: &str) -> bool {
        let name = format!("OTEL_{signal}_EXPORTER");
        let Some(list) = self.text(&name) else { return true };
        let (mut otlp, mut other) = (false, false);
        for exporter in list.to_ascii_lowercase().split(',').map(str::trim).filter(|each| !each.is_empty()) {
            match exporter {
                "otlp" => otlp = true,
                "none" => other = true,
                // The ops listener has it in any case.
                "prometheus" if signal == "METRICS" => other = true,
                "prometheus" | "console" | "logging" | "jaeger" | "zipkin" => {
                    self.ignore(&name, format!("{exporter:?} is not offered; expected otlp or none"));
                    other = true;
                }
                unknown => {
                    self.ignore(&name, format!("expected otlp or none, found {unknown:?}"));
                }
            }
        }
        otlp || !other
    }

    /// Returns a signal's destination. `None` if there is none, or if it cannot be reached from here.
    fn target(&mut self, signal: &str) -> Option<Target> {
        let is_for_otlp = self.is_for_otlp(signal);
        let protocol = self.protocol(signal);
        self.look_at_the_rest(signal);
        let (name, endpoint) = self.given(signal, "ENDPOINT").into_iter().next().filter(|_| is_for_otlp)?;
        let is_plain =
            self.given(signal, "INSECURE").first().is_some_and(|(_, is)| is.eq_ignore_ascii_case("true"));
        match target::endpoint(&endpoint, protocol, is_plain) {
            Ok(endpoint) => Some(Target { protocol, endpoint, headers: self.shadowed_headers(signal) }),
            Err(fault) => {
                self.ignore(&name, format!("{fault}; {} are not pushed", signal.to_ascii_lowercase()));
                None
            }
        }
    }

    fn protocol(&mut self, signal: &str) -> Protocol {
        for (name, value) in self.given(signal, "PROTOCOL") {
            match value.to_ascii_lowercase().as_str() {
                "grpc" => return Protocol::Grpc,
                "http/protobuf" => return Protocol::HttpBinary,
                "http/json" => return Protocol::HttpJson,
                _ => {
                    self.ignore(&name, format!("expected grpc, http/protobuf or http/json, found {value:?}"));
                }
            }
        }
        Protocol::HttpBinary
    }

    /// Looks at the settings that the exporters read themselves: they ignore a value in silence.
    fn look_at_the_rest(&mut self, signal: &str) {
        for (name, value) in self.given(signal, "COMPRESSION") {
            if !["gzip", "none"].contains(&value.to_ascii_lowercase().as_str()) {
                self.ignore(&name, format!("expected gzip or none, found {value:?}"));
            }
        }
        for (name, value) in self.given(signal, "TIMEOUT") {
            if value.parse::<u64>().is_err() {
                self.ignore(&name, format!("expected a number of milliseconds, found {value:?}"));
            }
        }
        for (name, value) in self.given(signal, "HEADERS") {
            if let Err(fault) = super::resource::pairs(&value) {
                self.ignore(&name, fault.replace("the whole list is ignored", "that entry is not sent"));
            }
        }
    }

    /// The general headers where an empty variable of the signal would hide them from the exporter.
    fn shadowed_headers(&self, signal: &str) -> Vec<(String, String)> {
        let own = format!("OTEL_EXPORTER_OTLP_{signal}_HEADERS");
        let is_shadowed = (self.variable)(&own).is_some() && self.text(&own).is_none();
        let general = self.text("OTEL_EXPORTER_OTLP_HEADERS").filter(|_| is_shadowed);
        general.and_then(|list| super::resource::pairs(&list).ok()).unwrap_or_default()
    }

    fn temporality(&mut self) {
        let name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        if let Some(other) = self.text(name).filter(|value| !value.eq_ignore_ascii_case("cumulative")) {
            self.ignore(name, format!("expected cumulative, found {other:?}: counts stay cumulative"));
        }
    }

    fn millis(&mut self, name: &str, default: u64) -> Duration {
        let Some(text) = self.text(name) else { return Duration::from_millis(default) };
        let millis = text.parse().ok().filter(|millis| *millis > 0);
        Duration::from_millis(millis.unwrap_or_else(|| {
            let reason = format!("expected milliseconds from 1, found {text:?}: {default} is in use");
            self.ignore(name, reason);
            default
        }))
    }

    fn sampler(&mut self) -> (Sampler, bool) {
        let name = "OTEL_TRACES_SAMPLER";
        let default = "parentbased_always_on";
        let given = self.text(name).unwrap_or_else(|| default.to_owned()).to_ascii_lowercase();
        let by_parent = given.starts_with("parentbased_");
        let sampler = match given.strip_prefix("parentbased_").unwrap_or(&given) {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "traceidratio" => Sampler::TraceIdRatioBased(self.ratio()),
            _ => {
                let expected = "expected always_on, always_off or traceidratio, alone or after parentbased_";
                self.ignore(name, format!("{expected}, found {given:?}: {default} is in use"));
                return (Sampler::ParentBased(Box::new(Sampler::AlwaysOn)), true);
            }
        };
        let follows = by_parent || !matches!(sampler, Sampler::AlwaysOff);
        (if by_parent { Sampler::ParentBased(Box::new(sampler)) } else { sampler }, follows)
    }

    fn ratio(&mut self) -> f64 {
        let name = "OTEL_TRACES_SAMPLER_ARG";
        let Some(text) = self.text(name) else { return 1.0 };
        let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        ratio.unwrap_or_else(|| {
            self.ignore(name, format!("expected a number from 0 to 1, found {text:?}: 1 is in use"));
            1.0
        })
    }
}

#[cfg(test)]
mod tests;
