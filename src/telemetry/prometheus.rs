//! What the meters hold in Prometheus' text format, version 0.0.4.
//!
//! Names follow the OpenTelemetry specification's rules for Prometheus: dots become underscores, the unit follows the
//! name, and counters end in `_total`. The resource is `target_info`.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt::{Display, Write as _},
};

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::data::{
    AggregatedMetrics, HistogramDataPoint, Metric, MetricData, ResourceMetrics,
};

/// The format's media type.
pub const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes everything.
pub(super) fn text(metrics: &ResourceMetrics) -> String {
    let mut out = Text(String::with_capacity(16 * 1024));
    let resource = metrics.resource().iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let resource: Vec<_> = resource.collect();
    out.head("target_info", "gauge", "What the pod is");
    out.sample("target_info", &labels(&resource), 1);
    for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
        match metric.data() {
            AggregatedMetrics::F64(data) => out.metric(metric, data),
            AggregatedMetrics::U64(data) => out.metric(metric, data),
            AggregatedMetrics::I64(data) => out.metric(metric, data),
        }
    }
    out.0
}

struct Text(String);

impl Text {
    fn metric<T: Copy + Display>(&mut self, metric: &Metric, data: &MetricData<T>) {
        let name = name_of(metric.name(), metric.unit());
        match data {
            MetricData::Gauge(gauge) => {
                let points = gauge.data_points().map(|point| (labels(point.attributes()), point.value()));
                self.samples(&name, "gauge", metric.description(), points);
            }
            MetricData::Sum(sum) => {
                let points = sum.data_points().map(|point| (labels(point.attributes()), point.value()));
                if sum.is_monotonic() {
                    self.samples(&format!("{name}_total"), "counter", metric.description(), points);
                } else {
                    self.samples(&name, "gauge", metric.description(), points);
                }
            }
            MetricData::Histogram(histogram) => {
                self.head(&name, "histogram", metric.description());
                histogram.data_points().for_each(|point| self.histogram(&name, point));
            }
            // No instrument of ours has one.
            MetricData::ExponentialHistogram(_) => {}
        }
    }

    fn samples<T: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        points: impl Iterator<Item = (String, T)>,
    ) {
        self.head(name, kind, help);
        points.for_each(|(labels, value)| self.sample(name, &labels, value));
    }

    fn histogram<T: Copy + Display>(&mut self, name: &str, point: &HistogramDataPoint<T>) {
        let labels = labels(point.attributes());
        let comma = if labels.is_empty() { "" } else { "," };
        let mut below = 0;
        let edges = point.bounds().map(|edge| edge.to_string()).chain(["+Inf".to_owned()]);
        for (edge, count) in edges.zip(point.bucket_counts()) {
            below += count;
            self.sample(&format!("{name}_bucket"), &format!("{labels}{comma}le=\"{edge}\""), below);
        }
        self.sample(&format!("{name}_sum"), &labels, point.sum());
        self.sample(&format!("{name}_count"), &labels, point.count());
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        // Writing to a String does not fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }
}

fn name_of(name: &str, unit: &str) -> String {
    let unit = match unit {
        "s" => "_seconds",
        "By" => "_bytes",
        _ => "",
    };
    format!("{}{unit}", underscored(name))
}

fn underscored(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// A label's name as the specification makes it of an attribute's key: every other character than a letter, a digit or
/// `_` becomes `_`, several `_` become one, and `key_` goes before a digit. Returns `None` if nothing but `_` is left.
/// See <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>.
fn label_name(key: &str) -> Option<String> {
    let mut name = underscored(key);
    while name.contains("__") {
        name = name.replace("__", "_");
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert_str(0, "key_");
    }
    (!name.is_empty() && name != "_").then_some(name)
}

/// Writes attributes as labels. The values of keys that become one name are joined by `;`, in the order of the keys:
/// Prometheus refuses a whole scrape for one name that is there twice.
fn labels<'a>(attributes: impl IntoIterator<Item = &'a KeyValue>) -> String {
    let mut attributes: Vec<_> = attributes.into_iter().collect();
    attributes.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    let mut labels = BTreeMap::<String, String>::new();
    for attribute in attributes {
        let Some(name) = label_name(attribute.key.as_str()) else { continue };
        // NUL ends what Prometheus reads.
        let value = attribute.value.to_string().replace('\0', "\u{fffd}");
        let value = value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
        match labels.entry(name) {
            Entry::Vacant(vacant) => drop(vacant.insert(value)),
            Entry::Occupied(mut occupied) => {
                occupied.get_mut().push(';');
                occupied.get_mut().push_str(&value);
            }
        }
    }
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    labels.join(",")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry::KeyValue;

    use super::super::{Figures, Objectives, PodIdentity, PostOutcome, Seating, ShardFigures, Sli};

    fn pod() -> Sli {
        let identity = PodIdentity { pod: "pod\"1\\".to_owned(), track: "blue".to_owned() };
        Sli::new(&identity, Objectives::default())
    }

    #[test]
    fn counters_gauges_and_histograms_are_written_as_prometheus_reads_them() {
        let sli = pod();
        sli.delivered(Seating::Prompt, 10, 3);
        sli.skipped(Seating::Lagging, 2);
        sli.posted(PostOutcome::Unknown);
        sli.written(true, Duration::from_millis(200), Duration::from_millis(201));
        let shard =
            ShardFigures { name: "a".to_owned(), connections: Some((7, 10_000)), ..Default::default() };
        sli.look_at(move || Figures {
            viewers: 5,
            ready: true,
            shards: vec![shard.clone()],
            ..Default::default()
        });
        let text = sli.prometheus();
        for line in [
            "# TYPE fanfare_deliveries_total counter",
            r#"fanfare_deliveries_total{seat="prompt",slo="within"} 7"#,
            r#"fanfare_deliveries_total{seat="prompt",slo="late"} 3"#,
            r#"fanfare_deliveries_total{seat="lagging",slo="skipped"} 2"#,
            r#"fanfare_skips_total{cause="viewer"} 2"#,
            r#"fanfare_posts_total{outcome="unknown"} 1"#,
            "# TYPE fanfare_delivery_duration_seconds histogram",
            r#"fanfare_delivery_duration_seconds_bucket{priority="true",le="0.1"} 0"#,
            r#"fanfare_delivery_duration_seconds_bucket{priority="true",le="0.2"} 1"#,
            r#"fanfare_delivery_duration_seconds_bucket{priority="true",le="+Inf"} 1"#,
            r#"fanfare_delivery_duration_seconds_count{priority="true"} 1"#,
            r#"fanfare_delivery_stage_duration_seconds_sum{stage="fanout"} 0.201"#,
            "# TYPE fanfare_viewers gauge",
            "fanfare_viewers 5",
            "fanfare_ready 1",
            "fanfare_draining 0",
            "fanfare_cpu_utilization 0",
            r#"fanfare_shard_up{shard="a"} 0"#,
            r#"fanfare_redis_connections{shard="a"} 7"#,
            r#"fanfare_redis_connections_limit{shard="a"} 10000"#,
        ] {
            assert!(text.lines().any(|each| each == line), "{line} is not in\n{text}");
        }
        assert!(text.contains(r#"service_instance_id="pod\"1\\","#), "{text}");
    }

    /// Symptom: Prometheus refused every scrape of a pod with `OTEL_RESOURCE_ATTRIBUTES=1team=x`, or with
    /// `deployment.environment=a,deployment_environment=b`. Cause: keys became names that begin with a digit, or that
    /// are there twice.
    #[test]
    fn attribute_keys_become_valid_distinct_label_names() {
        for (attributes, expected) in [
            (vec![("1team", "x")], r#"key_1team="x""#),
            (
                vec![("deployment_environment", "b"), ("deployment.environment", "a")],
                r#"deployment_environment="a;b""#,
            ),
            (vec![("a.b", "1"), ("a_b", "3"), ("a-b", "0"), ("a..b", "2")], r#"a_b="0;2;1;3""#),
            (vec![("__name__", "up")], r#"_name_="up""#),
            (vec![("Ünï", "x"), ("_", "y"), ("...", "z"), ("", "w")], r#"_n_="x""#),
            (vec![("quote", "\"\\\n\0")], r#"quote="\"\\\n�""#),
        ] {
            let pairs: Vec<_> =
                attributes.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
            assert_eq!(super::labels(&pairs), expected);
        }
    }
}
