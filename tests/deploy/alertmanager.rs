//! Alertmanager's configuration, in a real Alertmanager that gets what the rules would send.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use axum::{Json, Router, extract::State, routing::post};
use fanfare::tasks::Tasks;
use serde_json::{Value, json};
use testkit::{PATIENCE, eventually};

use super::read;

const CONFIG: &str = "deploy/prometheus/alertmanager.yaml";

/// A message to a receiver: the receiver, the alert and its track.
type Messages = Arc<Mutex<Vec<(String, Value)>>>;

/// An Alertmanager of the test's own, and what it sent; dropping it ends its process and removes its files.
struct Alertmanager {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
    messages: Messages,
    _receivers: Tasks,
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Keeps what a receiver gets.
async fn receive(State((name, messages)): State<(String, Messages)>, Json(message): Json<Value>) {
    let alerts = message["alerts"].as_array().unwrap().iter();
    messages.lock().unwrap().extend(alerts.map(|alert| (name.clone(), alert.clone())));
}

impl Alertmanager {
    /// `$ALERTMANAGER` is another one than Debian's (`make operators`).
    async fn start() -> Self {
        let (address, messages, receivers) = (free_address(), Messages::default(), Tasks::default());
        let folder = std::env::temp_dir().join(format!("fanfare-alertmanager-{}", address.port()));
        fs::create_dir_all(&folder).unwrap();
        // What is waited for is shorter; nothing else is changed.
        let mut config = read(CONFIG);
        for (long, short) in [("group_wait: 30s", "group_wait: 1s"), ("group_wait: 15s", "group_wait: 1s")] {
            assert!(config.contains(long), "{CONFIG} has no {long}");
            config = config.replace(long, short);
        }
        for name in ["pager", "tickets"] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (example, own) =
                (format!("https://{name}.example.com/fanfare"), listener.local_addr().unwrap());
            assert!(config.contains(&example), "{CONFIG} has no {example}");
            config = config.replace(&example, &format!("http://{own}/"));
            let state = (name.to_owned(), Arc::clone(&messages));
            let router = Router::new().route("/", post(receive)).with_state(state);
            receivers.core("receiver", async move { drop(axum::serve(listener, router).await) });
        }
        fs::write(folder.join("alertmanager.yaml"), config).unwrap();
        let program = std::env::var_os("ALERTMANAGER").unwrap_or_else(|| "prometheus-alertmanager".into());
        let child = Command::new(program)
            .arg("--config.file=alertmanager.yaml")
            .arg("--storage.path=data")
            .arg("--cluster.listen-address=")
            .arg(format!("--web.listen-address={address}"))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .expect("Debian's package prometheus-alertmanager");
        let started = Self { child, address, folder, messages, _receivers: receivers };
        eventually("Alertmanager is ready", PATIENCE, async || {
            started.asks("GET", "/-/ready", "").is_some_and(|answer| answer.contains(" 200 ")).then_some(())
        })
        .await;
        started
    }

    /// Sends alerts as Prometheus does.
    fn alert(&self, alerts: &[Value]) {
        let body = json!(alerts).to_string();
        let answer = self.asks("POST", "/api/v2/alerts", &body).unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
    }

    /// Asks Alertmanager; `None` if it does not answer.
    fn asks(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let mut socket = TcpStream::connect(self.address).ok()?;
        let (host, length) = (self.address, body.len());
        let head = format!(
            "{method} {path} HTTP/1.0\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(body.as_bytes())).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// What was sent: receiver, alert, track, and the burn rate if it has one.
    fn sent(&self) -> BTreeSet<String> {
        let messages = self.messages.lock().unwrap();
        let line = |(receiver, alert): &(String, Value)| {
            let label = |name: &str| alert["labels"][name].as_str().unwrap_or("-").to_owned();
            let [alert, track, burn] = ["alertname", "fanfare_track", "burn"].map(label);
            format!("{receiver} {alert} {track} {burn}")
        };
        messages.iter().map(line).collect()
    }

    async fn sends(&self, message: &str) {
        eventually(message, PATIENCE, async || self.sent().contains(message).then_some(())).await;
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A rule's alert for a track, with the labels and annotations that the rule gives it.
fn firing(name: &str, burn: Option<&str>, track: &str) -> Value {
    let rules: Value = serde_yaml_ng::from_str(&read("deploy/prometheus/alerts.yaml")).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let mut rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let rule = rules.find(|rule| rule["alert"] == name && rule["labels"]["burn"].as_str() == burn).unwrap();
    let mut labels = rule["labels"].clone();
    labels["alertname"] = name.into();
    labels["fanfare_track"] = track.into();
    if name.contains("Shard") {
        labels["shard"] = "a".into();
    }
    json!({"labels": labels, "annotations": rule["annotations"]})
}

/// Symptom: a dead shard paged four times, once for itself and once for each budget that it burnt. Cause: its alert had
/// no track, which the others have, and no configuration of Alertmanager was there.
///
/// Pages go to the pager and tickets to the tickets, each with an absolute link.
#[tokio::test]
async fn alerts_go_to_their_receiver_and_mute_what_follows_from_them() {
    let alertmanager = Alertmanager::start().await;
    alertmanager.alert(&[
        firing("FanfareShardDeaf", None, "blue"),
        firing("FanfareShardDeafOnPod", None, "blue"),
        firing("FanfareDeliveryBurn", Some("14.4"), "blue"),
        firing("FanfareJoinBurn", Some("6"), "blue"),
        firing("FanfarePostBurn", Some("1"), "blue"),
        firing("FanfareDeliveryBurn", Some("14.4"), "green"),
        firing("FanfareDeliveryBurn", Some("6"), "green"),
        firing("FanfareDeliveryBurn", Some("1"), "green"),
        firing("FanfareShardUnusable", None, "gold"),
        firing("FanfareShardDeaf", None, "gold"),
        firing("FanfareDeliveryBurn", Some("14.4"), "gold"),
        firing("FanfareTrackDown", None, "red"),
        firing("FanfarePodsMissing", None, "red"),
        firing("FanfareManyLagging", None, "green"),
    ]);
    let expected = [
        "pager FanfareShardDeaf blue -",
        "pager FanfareDeliveryBurn green 14.4",
        "pager FanfareShardUnusable gold -",
        "pager FanfareTrackDown red -",
        "tickets FanfareManyLagging green -",
    ];
    for message in expected {
        alertmanager.sends(message).await;
    }
    // What begins later is sent later: by then everything above was.
    let last = [firing("FanfareNoData", None, "-"), firing("FanfareHistoryReset", None, "-")];
    alertmanager.alert(&last);
    alertmanager.sends("pager FanfareNoData - -").await;
    alertmanager.sends("tickets FanfareHistoryReset - -").await;
    let mut sent = alertmanager.sent();
    sent.retain(|message| !message.ends_with("- -"));
    assert_eq!(sent, expected.map(str::to_owned).into());
    for (_, alert) in alertmanager.messages.lock().unwrap().iter() {
        let link = alert["annotations"]["runbook_url"].as_str().unwrap();
        assert!(link.starts_with("https://") && link.contains("/docs/alerts.md#"), "{link}");
    }
}

/// What the configuration names exists: every alert of a matcher is one of the rules', and every label as well.
#[test]
fn what_mutes_and_is_muted_are_alerts_of_the_rules() {
    let config: Value = serde_yaml_ng::from_str(&read(CONFIG)).unwrap();
    let rules = read("deploy/prometheus/alerts.yaml");
    for rule in config["inhibit_rules"].as_array().unwrap() {
        for matcher in
            ["source_matchers", "target_matchers"].iter().flat_map(|of| rule[of].as_array().unwrap())
        {
            if let Some(name) = matcher.as_str().unwrap().strip_prefix("alertname=\"") {
                assert!(rules.contains(&format!("alert: {}\n", name.trim_end_matches('"'))), "{name}");
            }
        }
    }
}
