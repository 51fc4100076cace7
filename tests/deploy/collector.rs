//! The collector's configuration holds together: what its pipelines name is configured, and what is configured is used.

use std::collections::BTreeSet;

use serde_json::Value;

use super::read;

fn names(of: &Value) -> BTreeSet<String> {
    let name = |name: &Value| name.as_str().unwrap().to_owned();
    match of {
        Value::Array(list) => list.iter().map(name).collect(),
        Value::Object(map) => map.keys().cloned().collect(),
        other => panic!("no names: {other}"),
    }
}

/// Metrics go to Prometheus and to Google Cloud, traces to Google Cloud, and the collector drops before it dies.
#[test]
fn every_component_of_the_collector_is_configured_and_used() {
    let collector: Value = serde_yaml_ng::from_str(&read("deploy/otel-collector.yaml")).unwrap();
    let pipelines = &collector["service"]["pipelines"];
    assert_eq!(names(pipelines), names(&serde_json::json!(["metrics", "traces"])));
    for kind in ["receivers", "processors", "exporters"] {
        let used: BTreeSet<_> =
            pipelines.as_object().unwrap().values().flat_map(|of| names(&of[kind])).collect();
        assert_eq!(used, names(&collector[kind]), "{kind}");
    }
    assert_eq!(names(&collector["service"]["extensions"]), names(&collector["extensions"]));
    for (name, pipeline) in pipelines.as_object().unwrap() {
        let processors = pipeline["processors"].as_array().unwrap();
        assert_eq!(
            processors[0], "memory_limiter",
            "{name}: first, so that what is too much costs nothing more"
        );
        assert!(names(&pipeline["exporters"]).contains("googlecloud"), "{name}");
    }
    assert!(names(&pipelines["metrics"]["exporters"]).contains("prometheus"));
    assert_eq!(
        names(&collector["receivers"]["otlp"]["protocols"]),
        names(&serde_json::json!(["grpc", "http"]))
    );
}

/// The example of tail sampling keeps what is over the objective by default, and changes nothing but the traces.
#[test]
fn tail_sampling_keeps_what_is_over_the_objective() {
    let collector: Value = serde_yaml_ng::from_str(&read("deploy/otel-collector.yaml")).unwrap();
    let example: Value = serde_yaml_ng::from_str(&read("deploy/otel-collector.tail.yaml")).unwrap();
    let objective = fanfare::telemetry::Objectives::default().deliver;
    let policies = example["processors"]["tail_sampling"]["policies"].as_array().unwrap();
    let slow = policies.iter().find(|policy| policy["name"] == "slow-deliveries").unwrap();
    assert_eq!(slow["numeric_attribute"]["key"], "fanfare.delivery.latency_ms");
    let least = u128::from(slow["numeric_attribute"]["min_value"].as_u64().unwrap());
    assert_eq!(least, objective.as_millis() + 1);
    let pipelines = &example["service"]["pipelines"];
    assert_eq!(names(pipelines), names(&serde_json::json!(["traces"])));
    let before = collector["service"]["pipelines"]["traces"]["processors"].as_array().unwrap();
    let after = pipelines["traces"]["processors"].as_array().unwrap();
    let without: Vec<_> = after.iter().filter(|name| *name != "tail_sampling").collect();
    assert_eq!(without, before.iter().collect::<Vec<_>>());
}
