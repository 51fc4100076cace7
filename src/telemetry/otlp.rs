//! The standard `OTEL_*` settings: what is pushed, where to, how often, and which posts are traced.
//!
//! The exporters read the rest of them: endpoints, protocols, headers, time-outs. See
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.

use std::time::Duration;

use opentelemetry_sdk::trace::Sampler;

/// What is pushed, and how.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Whether metrics are pushed.
    pub(super) metrics: bool,
    /// Whether spans are made and pushed.
    pub(super) traces: bool,
    /// How often metrics are pushed.
    pub(super) every: Duration,
    /// How long spans wait for others to go with.
    pub(super) gather: Duration,
    /// Which posts are traced.
    pub(super) sampler: Sampler,
    /// Whether spans that belong to a post of another pod are made; the poster's pod has decided that it is traced.
    pub(super) follows: bool,
}

impl Settings {
    /// Reads the environment. Without an endpoint nothing is pushed.
    ///
    /// # Errors
    /// Every setting that cannot be meant, each in a line: the start fails, as with the pod's own settings.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mut reading = Reading { variable, faults: Vec::new() };
        let off = reading.is_disabled();
        let (sampler, follows) = reading.sampler();
        let settings = Self {
            metrics: reading.is_pushed("METRICS") && !off,
            traces: reading.is_pushed("TRACES") && !off,
            every: reading.millis("OTEL_METRIC_EXPORT_INTERVAL", 60_000),
            gather: reading.millis("OTEL_BSP_SCHEDULE_DELAY", 5_000),
            sampler,
            follows,
        };
        if reading.faults.is_empty() { Ok(settings) } else { Err(reading.faults.join("\n")) }
    }
}

struct Reading<V> {
    variable: V,
    faults: Vec<String>,
}

impl<V: Fn(&str) -> Option<String>> Reading<V> {
    /// A variable's value; an empty one is none.
    fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn is_disabled(&mut self) -> bool {
        let name = "OTEL_SDK_DISABLED";
        match self.text(name).unwrap_or_default().to_ascii_lowercase().as_str() {
            "true" => true,
            "" | "false" => false,
            other => {
                self.faults.push(format!("{name}: {other:?} is neither true nor false"));
                false
            }
        }
    }

    /// Whether a signal has an endpoint and is meant to go there; looks at what the exporters would guess about.
    fn is_pushed(&mut self, signal: &str) -> bool {
        let exporter = format!("OTEL_{signal}_EXPORTER");
        match self.text(&exporter).as_deref() {
            None | Some("otlp") => {}
            Some("none") => return false,
            Some(other) => self.faults.push(format!("{exporter}: {other:?} is neither otlp nor none")),
        }
        let special = |what: &str| {
            let special = format!("OTEL_EXPORTER_OTLP_{signal}_{what}");
            let general = format!("OTEL_EXPORTER_OTLP_{what}");
            self.text(&special)
                .map(|text| (special, text))
                .or_else(|| Some((general.clone(), self.text(&general)?)))
        };
        let (endpoint, protocol) = (special("ENDPOINT"), special("PROTOCOL"));
        if let Some((name, other)) =
            protocol.filter(|(_, text)| !matches!(text.as_str(), "grpc" | "http/protobuf"))
        {
            self.faults.push(format!("{name}: {other:?} is neither grpc nor http/protobuf"));
        }
        let Some((name, endpoint)) = endpoint else { return false };
        if !endpoint.starts_with("http://") {
            self.faults
                .push(format!("{name}: {endpoint:?} does not begin with http://: TLS is left to the mesh"));
        }
        true
    }

    fn millis(&mut self, name: &str, default: u64) -> Duration {
        let millis =
            self.text(name).map_or(Some(default), |text| text.parse().ok().filter(|millis| *millis > 0));
        Duration::from_millis(millis.unwrap_or_else(|| {
            self.faults.push(format!("{name}: not a number of milliseconds from 1"));
            default
        }))
    }

    fn sampler(&mut self) -> (Sampler, bool) {
        let name = "OTEL_TRACES_SAMPLER";
        let given = self.text(name).unwrap_or_else(|| "parentbased_always_on".to_owned());
        let by_parent = given.starts_with("parentbased_");
        let sampler = match given.strip_prefix("parentbased_").unwrap_or(&given) {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "traceidratio" => Sampler::TraceIdRatioBased(self.ratio()),
            _ => {
                self.faults.push(format!(
                    "{name}: {given:?} is none of always_on, always_off, traceidratio, nor one of them after parentbased_"
                ));
                Sampler::AlwaysOff
            }
        };
        let follows = by_parent || !matches!(sampler, Sampler::AlwaysOff);
        (if by_parent { Sampler::ParentBased(Box::new(sampler)) } else { sampler }, follows)
    }

    fn ratio(&mut self) -> f64 {
        let name = "OTEL_TRACES_SAMPLER_ARG";
        let ratio = self.text(name).map_or(Some(1.0), |text| text.parse().ok());
        ratio.filter(|ratio| (0.0..=1.0).contains(ratio)).unwrap_or_else(|| {
            self.faults.push(format!("{name}: not a number from 0 to 1"));
            0.0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        Settings::read(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");

    #[test]
    fn nothing_is_pushed_without_an_endpoint_or_when_switched_off() {
        let pushed = |variables: &[(&str, &str)]| {
            let settings = read(variables).unwrap();
            (settings.metrics, settings.traces)
        };
        assert_eq!(pushed(&[]), (false, false));
        assert_eq!(pushed(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), (false, false));
        assert_eq!(pushed(&[ENDPOINT]), (true, true));
        assert_eq!(pushed(&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")]), (false, false));
        assert_eq!(pushed(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]), (true, false));
        assert_eq!(
            pushed(&[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://x:1/v1/metrics")]),
            (true, false)
        );
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let faults = read(&[
            ("OTEL_SDK_DISABLED", "perhaps"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_METRICS_EXPORTER", "prometheus"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
            ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ])
        .unwrap_err();
        for name in [
            "OTEL_SDK_DISABLED",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_METRICS_EXPORTER",
            "OTEL_METRIC_EXPORT_INTERVAL",
            "OTEL_BSP_SCHEDULE_DELAY",
            "OTEL_TRACES_SAMPLER_ARG",
        ] {
            assert!(faults.lines().any(|fault| fault.starts_with(name)), "{name} is not in\n{faults}");
        }
        assert!(read(&[("OTEL_TRACES_SAMPLER", "xray")]).is_err());
    }

    #[test]
    fn a_pod_that_traces_nothing_follows_no_other() {
        let follows = |sampler| read(&[("OTEL_TRACES_SAMPLER", sampler)]).unwrap().follows;
        assert!(
            follows("always_on") && follows("parentbased_always_off") && follows("parentbased_traceidratio")
        );
        assert!(!follows("always_off"));
    }
}
