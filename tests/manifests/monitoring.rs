//! The rules as the Prometheus operator gets them.

use std::fs;

use serde_yaml_ng::Value;

use super::{at, object, path, rendered};
use crate::deploy::RUNBOOKS;

fn groups(file: &str) -> Value {
    let rules: Value = serde_yaml_ng::from_str(&fs::read_to_string(path(file)).unwrap()).unwrap();
    rules["groups"].clone()
}

/// k8s/monitoring has the groups of deploy/prometheus, and no others.
#[test]
fn the_operators_rules_are_those_of_deploy() {
    for file in ["recording.yaml", "alerts.yaml"] {
        let rule = object(&format!("k8s/monitoring/{file}"));
        assert_eq!(*at(&rule, "spec.groups"), groups(&format!("deploy/prometheus/{file}")), "{file}");
    }
}

/// Symptom: the link in a page was `docs/alerts.md#…`, which opens nothing. Cause: a path in a repository. The address is
/// a variable of the kustomization, which reaches every alert and is no object of the cluster.
#[test]
fn every_runbook_is_at_the_address_of_the_kustomization() {
    let address = object("k8s/monitoring/runbooks.yaml");
    let address = at(&address, "data.url").as_str().unwrap();
    assert_eq!(address, RUNBOOKS);
    let objects = rendered("../monitoring");
    assert!(objects.iter().all(|object| object["kind"] == "PrometheusRule"), "{objects:?}");
    let groups = objects.iter().flat_map(|object| at(object, "spec.groups").as_sequence().unwrap());
    let rules = groups.flat_map(|group| group["rules"].as_sequence().unwrap());
    let alerts: Vec<_> = rules.filter(|rule| rule["alert"].is_string()).collect();
    assert!(alerts.len() > 15, "{}", alerts.len());
    for alert in alerts {
        let section = alert["alert"].as_str().unwrap().to_lowercase();
        assert_eq!(alert["annotations"]["runbook_url"], format!("{address}#{section}"));
    }
}
