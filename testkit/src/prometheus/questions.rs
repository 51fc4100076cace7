//! What the dashboard asks.

use std::fs;

use serde_json::Value;

use crate::root;

/// A query of the dashboard, with Grafana's variables filled in.
#[derive(Debug)]
pub struct Question {
    /// The panel's title.
    pub panel: String,
    /// The query, in PromQL.
    pub query: String,
}

/// Every query of the dashboard: its panels', its annotations'.
pub fn dashboard_questions() -> Vec<Question> {
    let file = root().join("deploy/grafana/fanfare-dashboard.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let mut questions = Vec::new();
    let mut ask = |panel: &Value, query: &Value| {
        let query = query.as_str().unwrap_or_else(|| panic!("no query: {panel}"));
        let query = query
            .replace("$__rate_interval", "10s")
            .replace("$track", ".*")
            // The rules' windows are shortened alike.
            .replace("offset 2m", "offset 2s");
        assert!(!query.contains('$'), "a variable that nobody knows: {query}");
        questions.push(Question { panel: panel.as_str().unwrap().to_owned(), query });
    };
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            ask(&panel["title"], &target["expr"]);
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        ask(&annotation["name"], &annotation["expr"]);
    }
    assert!(questions.len() > 40, "the queries are where they are expected");
    questions
}
