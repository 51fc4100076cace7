//! Prometheus' rules, their tests, and the document about the alerts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_yaml_ng::Value;

use super::{files, path, promtool, read};

const ALERTS: &str = "deploy/prometheus/alerts.yaml";
/// The address of docs/alerts.md, to be replaced by everybody's own.
pub(crate) const RUNBOOKS: &str = "https://runbooks.example.com/fanfare/docs/alerts.md";

/// The alerts' names, each with the lines of its rules.
fn alerts() -> BTreeMap<String, Vec<String>> {
    let mut alerts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut name = String::new();
    for line in read(ALERTS).lines().map(str::trim) {
        if let Some(found) = line.strip_prefix("- alert: ") {
            found.clone_into(&mut name);
        }
        if !name.is_empty() {
            alerts.entry(name.clone()).or_default().push(line.to_owned());
        }
    }
    assert!(alerts.len() >= 10, "the alerts are where they are expected: {alerts:?}");
    alerts
}

/// deploy/prometheus: the rules' own tests pass, in which every alert fires and every alert is silent.
#[test]
fn the_rules_do_what_their_tests_say() {
    let tests = files("deploy", "test", ".yaml");
    assert!(tests.len() >= 2, "{tests:?}");
    promtool(&["test", "rules"], &tests);
    promtool(&["check", "rules"], &[path(ALERTS), path("deploy/prometheus/recording.yaml")]);
    promtool(&["check", "config"], &[path("deploy/prometheus/prometheus.yaml")]);
}

/// Each alert is among the expectations of the rules' tests, with its labels and as absent.
#[test]
fn every_alert_is_tested() {
    let files = files("deploy", "test", ".yaml");
    let tests: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    for name in alerts().into_keys() {
        let by_name: Vec<_> = tests.split(&format!("alertname: {name}\n")).skip(1).collect();
        let by_series = tests.contains(&format!("alertname=\"{name}\""));
        let shown = by_name.iter().filter(|after| !ends_empty(after)).count();
        let absent = by_name.iter().filter(|after| ends_empty(after)).count();
        assert!(
            by_series || (shown > 0 && absent > 0),
            "{name}: fires {shown} times, is silent {absent} times"
        );
    }
    assert!(
        tests.contains("expr: ALERTS\n") && tests.contains("exp_samples: []"),
        "a healthy fleet is tested"
    );
}

fn ends_empty(expectation: &str) -> bool {
    expectation.lines().nth(1).is_some_and(|line| line.trim() == "exp_alerts: []")
}

/// docs/alerts.md: each alert has a section that says what to do, and each section an alert.
#[test]
fn every_alert_has_a_section_and_every_section_an_alert() {
    let alerts = alerts();
    let document = read("docs/alerts.md");
    let sections: BTreeMap<_, _> = document
        .split("\n## ")
        .skip(1)
        .map(|section| section.split_once('\n').expect("a section has a text"))
        .collect();
    let (named, described): (BTreeSet<_>, BTreeSet<_>) =
        (alerts.keys().map(String::as_str).collect(), sections.keys().copied().collect());
    assert_eq!(named, described);
    for (name, text) in sections {
        for part in ["**Means**", "**First look**", "**Do**"] {
            assert!(text.contains(part), "{name} has no {part}");
        }
    }
    let anchors: BTreeSet<_> = named.iter().map(|name| name.to_lowercase()).collect();
    let links = document.split("](#").skip(1).map(|link| link.split(')').next().unwrap());
    let broken: Vec<_> = links.filter(|link| !anchors.contains(*link)).collect();
    assert!(broken.is_empty(), "docs/alerts.md links to sections that are not there: {broken:?}");
}

/// Each rule says how urgent it is, what it is, and where to read on: at an absolute address, since a path in a
/// repository opens in no pager.
#[test]
fn every_alert_has_severity_summary_and_runbook() {
    for (name, lines) in alerts() {
        let count = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
        let rules = count("- alert: ");
        let severities = lines.iter().filter(|line| {
            line.starts_with("labels: ")
                && ["page", "ticket"].iter().any(|of| line.contains(&format!("severity: {of}")))
        });
        let runbook = format!("runbook_url: {RUNBOOKS}#{}", name.to_lowercase());
        let parts = [severities.count(), count("summary: \""), count("description: \""), count(&runbook)];
        assert_eq!(parts, [rules; 4], "{name}: severity, summary, description, runbook");
    }
}

/// docs/alerts.md says of each alert whether it is a page or a ticket, and holds its query: at night nobody wants to
/// look for the rule.
#[test]
fn every_section_has_the_alerts_severity_and_query() {
    let rules: Value = serde_yaml_ng::from_str(&read(ALERTS)).unwrap();
    let document = read("docs/alerts.md");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for rule in
        rules["groups"].as_sequence().unwrap().iter().flat_map(|group| group["rules"].as_sequence().unwrap())
    {
        let [name, query, severity] =
            [&rule["alert"], &rule["expr"], &rule["labels"]["severity"]].map(|text| text.as_str().unwrap());
        let section = document.split("\n## ").find(|section| section.lines().next() == Some(name)).unwrap();
        let (_, said) =
            section.split_once("**Severity**: ").unwrap_or_else(|| panic!("{name} has no severity"));
        let said = said.lines().next().unwrap();
        let expected = match rule["labels"]["burn"].as_str() {
            Some(burn) => format!("{severity} at a burn rate of {burn}"),
            None => format!("{severity}."),
        };
        assert!(said.contains(&expected), "{name}: {said:?} does not hold {expected:?}");
        let (_, queries) = section.split_once("```promql").unwrap_or_else(|| panic!("{name} has no query"));
        assert!(words(queries).contains(&words(query)), "{name} has another query than\n{query}");
    }
}

/// The panels that docs/alerts.md sends its reader to are on the dashboard.
#[test]
fn the_panels_that_the_document_names_exist() {
    let titles = super::dashboard::titles();
    let document = read("docs/alerts.md");
    let looks = document.split("**First look**").skip(1).map(|text| text.split("**Do**").next().unwrap());
    let named: Vec<_> = looks.flat_map(|look| look.split('"').skip(1).step_by(2)).collect();
    assert!(named.len() >= 10, "{named:?}");
    let absent: Vec<_> =
        named.iter().filter(|name| **name != "Targets" && !titles.contains(**name)).collect();
    assert!(absent.is_empty(), "no such panel: {absent:?}");
}
