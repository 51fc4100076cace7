use super::*;

fn read(variables: &[(&str, &str)]) -> (OtlpSettings, Vec<Ignored>) {
    let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
    OtlpSettings::read(|name| find(name).map(|(_, value)| (*value).to_owned()))
}

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");

fn pushed(variables: &[(&str, &str)]) -> (bool, bool) {
    let (settings, _) = read(variables);
    (settings.metrics.is_some(), settings.traces.is_some())
}

#[test]
fn nothing_is_pushed_without_an_endpoint_or_when_switched_off() {
    assert_eq!(pushed(&[]), (false, false));
    assert_eq!(pushed(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), (false, false));
    assert_eq!(pushed(&[ENDPOINT]), (true, true));
    assert_eq!(pushed(&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")]), (false, false));
    assert_eq!(pushed(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]), (true, false));
    assert_eq!(pushed(&[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://x:1/v1/metrics")]), (true, false));
}

/// Symptom: `OTEL_METRICS_EXPORTER=console`, `OTEL_TRACES_SAMPLER=jaeger_remote` or another value that the standard
/// allows ended the pod with code 2. Cause: a value that is not understood was taken for a fault.
#[test]
fn values_that_are_not_understood_are_ignored_with_a_warning() {
    for (name, value) in [
        ("OTEL_SDK_DISABLED", "perhaps"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/xml"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
        ("OTEL_METRICS_EXPORTER", "carrier-pigeon"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-5"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER", "parentbased_jaeger_remote"),
        ("OTEL_TRACES_SAMPLER", "xray"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
    ] {
        let (settings, ignored) = read(&[ENDPOINT, (name, value)]);
        assert!(ignored.iter().all(|each| each.setting == name) && !ignored.is_empty(), "{ignored:?}");
        assert!(settings.metrics.is_some() && settings.traces.is_some(), "{name}={value} is as if unset");
        assert_eq!((settings.every.as_secs(), settings.gather.as_secs()), (60, 5), "{name}");
        assert!(matches!(settings.sampler, Sampler::ParentBased(_)), "{name}");
        assert!(!ignored[0].reason.contains("secret"), "a header's value is not told");
    }
    let (settings, ignored) =
        read(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "1.5")]);
    assert!(matches!(settings.sampler, Sampler::TraceIdRatioBased(ratio) if ratio == 1.0), "{ignored:?}");
    assert_eq!(ignored[0].setting, "OTEL_TRACES_SAMPLER_ARG");
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    const NAMES: [&str; 16] = [
        "OTEL_SDK_DISABLED",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "OTEL_EXPORTER_OTLP_INSECURE",
        "OTEL_METRICS_EXPORTER",
        "OTEL_TRACES_EXPORTER",
        "OTEL_METRIC_EXPORT_INTERVAL",
        "OTEL_BSP_SCHEDULE_DELAY",
        "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    ];
    for empty in ["", " "] {
        let mut variables = NAMES.map(|name| (name, empty)).to_vec();
        variables.push(ENDPOINT);
        let ((settings, ignored), (unset, _)) = (read(&variables), read(&[ENDPOINT]));
        assert_eq!(ignored, []);
        assert_eq!((&settings.metrics, &settings.traces), (&unset.metrics, &unset.traces));
        assert_eq!(format!("{settings:?}"), format!("{unset:?}"));
    }
}

/// Symptom: an empty `OTEL_EXPORTER_OTLP_TRACES_HEADERS` took `OTEL_EXPORTER_OTLP_HEADERS` away. Cause: the exporter
/// looks whether the variable is there.
#[test]
fn an_empty_setting_of_a_signal_does_not_hide_the_general_one() {
    let (settings, _) = read(&[
        ENDPOINT,
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", ""),
    ]);
    assert_eq!(settings.traces.unwrap().headers, [("x-tenant".to_owned(), "a b".to_owned())]);
    assert!(settings.metrics.unwrap().headers.is_empty(), "the exporter reads them itself");
}

#[test]
fn a_value_of_a_signal_that_is_not_understood_leaves_the_general_one() {
    let (settings, ignored) = read(&[
        ENDPOINT,
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "GRPC"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "smoke"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"),
    ]);
    assert_eq!(settings.traces.unwrap().protocol, Protocol::Grpc);
    assert_eq!(settings.metrics.unwrap().protocol, Protocol::HttpJson);
    assert_eq!(ignored.len(), 1);
}

#[test]
fn exporters_of_the_standard_that_are_not_offered_push_nothing_and_say_so() {
    for (list, expected, warnings) in [
        ("otlp", true, 0),
        ("OTLP, console", true, 1),
        ("prometheus", false, 0),
        ("otlp,prometheus", true, 0),
        ("console", false, 1),
        ("none", false, 0),
        ("unknown", true, 1),
        (",", true, 0),
    ] {
        let (settings, ignored) = read(&[ENDPOINT, ("OTEL_METRICS_EXPORTER", list)]);
        assert_eq!((settings.metrics.is_some(), ignored.len()), (expected, warnings), "{list}: {ignored:?}");
        assert!(settings.traces.is_some(), "{list}");
    }
}

#[test]
fn a_signal_with_a_bad_endpoint_is_not_pushed_and_the_other_is() {
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://u:secret@collector");
    let (settings, ignored) = read(&[ENDPOINT, traces]);
    assert!(settings.metrics.is_some() && settings.traces.is_none(), "{settings:?}");
    assert_eq!(ignored[0].setting, traces.0);
    assert!(ignored[0].reason.ends_with("traces are not pushed"), "{ignored:?}");
    assert!(!ignored[0].reason.contains("secret"));
}

#[test]
fn a_pod_that_traces_nothing_follows_no_other() {
    let follows = |sampler| read(&[("OTEL_TRACES_SAMPLER", sampler)]).0.follows;
    assert!(follows("always_on") && follows("parentbased_always_off") && follows("parentbased_traceidratio"));
    assert!(!follows("always_off"));
}
