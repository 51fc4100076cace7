//! Grafana's dashboard: what of it can be checked without Grafana. A Prometheus that scrapes pods runs its queries.

use std::collections::BTreeSet;

use serde_json::Value;

use super::files;

/// The dashboard, as Grafana reads it.
pub(super) fn dashboard() -> Value {
    let files = files("deploy", "dashboard", ".json");
    assert_eq!(files.len(), 1, "{files:?}");
    serde_json::from_str(&std::fs::read_to_string(&files[0]).unwrap()).unwrap()
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    let panels: Vec<_> = dashboard["panels"].as_array().unwrap().iter().collect();
    assert!(panels.len() > 20, "the panels are where they are expected");
    panels
}

fn text<'a>(of: &'a Value, field: &str) -> &'a str {
    of[field].as_str().unwrap_or_else(|| panic!("{field} in {of}"))
}

/// The panels' titles.
pub(super) fn titles() -> BTreeSet<String> {
    panels(&dashboard()).into_iter().map(|panel| text(panel, "title").to_owned()).collect()
}

/// The dashboard is found under the same address in every Grafana, and asks whatever data source is chosen.
#[test]
fn the_dashboard_has_a_stable_address_and_its_data_source_is_a_variable() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "fanfare");
    assert!(dashboard["id"].is_null(), "an id belongs to one Grafana");
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let kinds: Vec<_> = variables.iter().map(|each| (text(each, "name"), text(each, "type"))).collect();
    assert_eq!(kinds, [("datasource", "datasource"), ("track", "query")]);
    let deploys = &dashboard["annotations"]["list"][0];
    assert!(
        text(deploys, "expr").contains("service_version")
            || text(deploys, "titleFormat").contains("service_version")
    );
    for panel in panels(&dashboard).into_iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{panel}");
        for source in targets.iter().chain([panel]) {
            assert_eq!(source["datasource"]["uid"], "${datasource}", "{panel}");
        }
    }
}

/// A panel says what it shows, in which unit, and from where on it is bad.
#[test]
fn every_panel_has_a_unit_thresholds_and_a_description() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    for panel in panels(&dashboard) {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have an id: {panel}");
        if panel["type"] == "row" {
            continue;
        }
        let defaults = &panel["fieldConfig"]["defaults"];
        assert!(!text(defaults, "unit").is_empty() && !text(panel, "description").is_empty(), "{panel}");
        let steps = defaults["thresholds"]["steps"].as_array().unwrap();
        assert!(steps[0]["value"].is_null() && steps.iter().all(|step| step["color"].is_string()), "{panel}");
    }
}

/// Symptom: under `NoTranslation`, `NoUTF8EscapingWithSuffixes` or `convert_classic_histograms_to_nhcb` every panel was empty
/// and nothing said why. Cause: one spelling and one form of histograms is asked for.
#[test]
fn a_panel_tells_of_other_spellings_and_forms_and_the_document_names_them() {
    let dashboard = dashboard();
    let panels = panels(&dashboard);
    let panel = panels.iter().find(|panel| panel["title"] == "Names of the series").expect("the panel");
    let targets = panel["targets"].as_array().unwrap();
    for part in ["{__name__=\"fanfare.ready\"}", "histogram_count(fanfare_delivery_duration_seconds)"] {
        assert!(targets.iter().any(|target| text(target, "expr").contains(part)), "no query for {part}");
    }
    assert!(
        targets.iter().all(|target| text(target, "expr").ends_with("or vector(0)")),
        "it is never empty itself"
    );
    let document = super::read("deploy/prometheus/README.md");
    for setting in ["NoTranslation", "NoUTF8EscapingWithSuffixes", "convert_classic_histograms_to_nhcb"] {
        let told = targets.iter().any(|target| text(target, "legendFormat").contains(setting));
        assert!(told && document.contains(setting), "{setting}");
    }
}

/// No panel lies on another, nor outside.
#[test]
fn panels_do_not_overlap() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    for panel in panels(&dashboard) {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|of| panel["gridPos"][of].as_u64().unwrap());
        assert!(x + w <= 24, "{panel}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{} lies on another panel", panel["title"]);
        }
    }
}

/// The rows that an SRE looks for.
#[test]
fn the_dashboard_has_its_rows() {
    let dashboard = dashboard();
    let panels = panels(&dashboard);
    let rows: Vec<_> =
        panels.iter().filter(|panel| panel["type"] == "row").map(|row| text(row, "title")).collect();
    assert_eq!(rows, ["Service levels", "Fan-out", "Shards", "Fleet", "Blue beside green"]);
    let repeated = panels.iter().filter(|panel| panel["repeat"] == "track").count();
    assert!(repeated > 0, "the tracks stand side by side");
}
