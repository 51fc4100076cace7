//! A real Prometheus that scrapes pods, with the rules of `deploy` and their windows shortened by 60.

mod crowd;
mod questions;
mod windows;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

pub use crowd::Crowd;
pub use questions::dashboard_questions;
use windows::shortened;

use crate::{PATIENCE, Pod, eventually, pause, root};

/// A Prometheus of a test's own; dropping it ends its process and removes its files.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Prometheus {
    /// Starts one that scrapes these pods every second.
    pub async fn start(pods: &[&Pod]) -> Self {
        // A port that was free just now; another process may take it first, hence the attempts.
        for _ in 0..5 {
            let mut prometheus = Self::spawn(pods);
            let up = eventually("Prometheus answers, or is gone", PATIENCE, async || {
                let gone = prometheus.child.try_wait().unwrap().map(|_| false);
                gone.or_else(|| {
                    prometheus.fetch("/-/ready").is_some_and(|said| said.contains("Ready")).then_some(true)
                })
            });
            if up.await {
                return prometheus;
            }
        }
        panic!("no Prometheus would start");
    }

    fn spawn(pods: &[&Pod]) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = std::env::temp_dir().join(format!(
            "fanfare-prometheus-{}-{}",
            std::process::id(),
            address.port()
        ));
        fs::create_dir_all(&folder).unwrap();
        let targets: Vec<_> = pods.iter().map(|pod| format!("\"{}\"", pod.ops)).collect();
        let rules = root().join("deploy/prometheus");
        for file in ["recording.yaml", "alerts.yaml"] {
            let short = shortened(&fs::read_to_string(rules.join(file)).unwrap());
            fs::write(folder.join(file), short).unwrap();
        }
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 500ms}}\n\
             rule_files: [recording.yaml, alerts.yaml]\n\
             scrape_configs:\n- {{job_name: fanfare, static_configs: [{{targets: [{}]}}]}}\n",
            targets.join(", ")
        );
        fs::write(folder.join("prometheus.yaml"), config).unwrap();
        let child = Command::new("prometheus")
            .arg("--config.file=prometheus.yaml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .expect("Debian's package prometheus");
        Self { child, address, folder }
    }

    /// Asks an address of the server; none if it does not answer.
    fn fetch(&self, path: &str) -> Option<String> {
        let mut socket = TcpStream::connect(self.address).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // HTTP/1.0: the answer is not in chunks, and ends with the connection.
        write!(socket, "GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n", self.address).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }

    fn api(&self, path: &str) -> Value {
        let answer = self.fetch(path).unwrap_or_else(|| panic!("no answer to {path}"));
        let answer: Value =
            serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"));
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }

    /// The answer to a query now: the values that are numbers.
    pub fn ask(&self, query: &str) -> Vec<f64> {
        let data = self.api(&format!("/api/v1/query?query={}", escaped(query)));
        let series = data["result"].as_array().unwrap_or_else(|| panic!("{query}: no vector: {data}"));
        let value = |each: &Value| each["value"][1].as_str().unwrap().parse().unwrap();
        series.iter().map(value).filter(|value: &f64| !value.is_nan()).collect()
    }

    /// Every rule, as the server has it: name, query, type, health.
    pub fn rules(&self) -> Vec<Value> {
        let data = self.api("/api/v1/rules");
        let groups = data["groups"].as_array().unwrap();
        let rules: Vec<_> =
            groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).cloned().collect();
        assert!(rules.len() > 20, "the rules are loaded: {data}");
        rules
    }

    /// Waits until a query has an answer.
    pub async fn answers(&self, what: &str, query: &str, within: Duration) -> Vec<f64> {
        eventually(&format!("{what}: {query}"), within, async || {
            let answer = self.ask(query);
            if answer.is_empty() {
                pause(Duration::from_millis(100)).await;
            }
            (!answer.is_empty()).then_some(answer)
        })
        .await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().rev().take(10).collect();
            eprintln!("Prometheus' log ends, newest first:\n{}", lines.join("\n"));
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn escaped(query: &str) -> String {
    query.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
