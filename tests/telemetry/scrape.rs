//! What a pod's `/metrics` says, taken apart.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use testkit::Pod;

/// One scrape.
pub(crate) struct Scrape {
    pub(crate) text: String,
    samples: Vec<(String, f64)>,
}

impl Scrape {
    /// Asks a pod.
    pub(crate) async fn of(pod: &Pod) -> Self {
        let answer = pod.probe("/metrics").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        };
        let samples = lines.map(sample).collect();
        Self { text: answer.body, samples }
    }

    /// The sum of a metric's series that have these labels, each as `name="value"`.
    pub(crate) fn sum(&self, metric: &str, labels: &[&str]) -> f64 {
        let is_of = |series: &str| {
            series.strip_prefix(metric).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
                && labels.iter().all(|label| series.contains(label))
        };
        let of = self.samples.iter().filter(|(series, _)| is_of(series));
        let values: Vec<_> = of.map(|(_, value)| *value).collect();
        assert!(!values.is_empty(), "no {metric} with {labels:?} in\n{}", self.text);
        values.iter().sum()
    }

    /// Returns whether a metric has a series, and its series together at least this value.
    pub(crate) fn has(&self, metric: &str, least: f64) -> bool {
        self.samples.iter().any(|(series, _)| series.starts_with(metric)) && self.sum(metric, &[]) >= least
    }

    /// The mean of a histogram's values with these labels.
    pub(crate) fn mean(&self, metric: &str, labels: &[&str]) -> f64 {
        self.sum(&format!("{metric}_sum"), labels) / self.sum(&format!("{metric}_count"), labels)
    }

    /// The series that another scrape did not have.
    pub(crate) fn not_in(&self, other: &Self) -> Vec<&str> {
        let has = |series: &str| other.samples.iter().any(|(known, _)| known == series);
        self.samples.iter().map(|(series, _)| series.as_str()).filter(|series| !has(series)).collect()
    }

    /// How many series there are.
    pub(crate) fn series(&self) -> usize {
        self.samples.len()
    }

    /// Fails if Prometheus' own tool finds a fault in names, types, labels or help texts.
    pub(crate) fn is_accepted_by_promtool(&self) {
        let mut tool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool, of the Debian package prometheus");
        tool.stdin.take().unwrap().write_all(self.text.as_bytes()).unwrap();
        let output = tool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && said.trim().is_empty(), "{said}");
    }
}
