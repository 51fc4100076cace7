//! compose.yaml without containers: its Secrets, its shards and its pods, as processes of this machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_yaml_ng::Value;
use testkit::{Join, Pod, RedisServer, stream_for};

use super::{at, files, object, path};

const SHARDS: [&str; 3] = ["redis-a", "redis-b", "redis-c"];

/// The Secrets, in a folder of the test's own; dropping it removes them.
struct Secrets(PathBuf);

impl Secrets {
    fn make() -> Self {
        let folder = std::env::temp_dir().join(format!("fanfare-compose-{}", std::process::id()));
        let made = Command::new(path("deploy/secrets.sh")).arg(&folder).status().unwrap();
        assert!(made.success());
        Self(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_sequence().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// A shard with the options that compose gives it.
fn shard(compose: &Value, name: &str, secrets: &Secrets) -> RedisServer {
    let command = texts(at(compose, &format!("services.{name}.command")));
    assert_eq!(command[0], "redis-server");
    let users = secrets.file("users.acl");
    let option = |option: &String| option.replace("/run/secrets/redis-users", &users);
    let options: Vec<_> = command[1..].iter().map(option).collect();
    RedisServer::with(&options.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Runs what compose's service `functions` runs, with these ports instead of the names.
fn load_functions(compose: &Value, secrets: &Secrets, ports: &[u16]) {
    let command = texts(at(compose, "services.functions.command"));
    let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
    let script = command[2]
        .replace("$$", "$")
        .replace("/run/secrets", &secrets.0.display().to_string())
        .replace("/fanfare.lua", &path("deploy/redis/fanfare.lua").display().to_string())
        .replace(&SHARDS.join(" "), &ports.join(" "))
        .replace("-h $shard", "-p $shard");
    let loaded = Command::new(&command[0]).args([&command[1], &script]).output().unwrap();
    assert!(loaded.status.success(), "{script}: {}", String::from_utf8_lossy(&loaded.stderr));
}

/// Two pods on three shards see each other's comments; nobody gets at a shard without a password; and a pod takes the
/// files of keys.
#[tokio::test(flavor = "multi_thread")]
async fn the_house_of_compose_stands() {
    let (compose, secrets) = (object("deploy/compose.yaml"), Secrets::make());
    let shards: Vec<_> = SHARDS.iter().map(|name| shard(&compose, name, &secrets)).collect();
    let ports: Vec<_> = shards.iter().map(RedisServer::port).collect();
    load_functions(&compose, &secrets, &ports);
    assert!(shards[0].cli(&["GET", "x"]).starts_with("NOAUTH"));
    let mut list = fs::read_to_string(secrets.file("shards")).unwrap();
    for (name, port) in SHARDS.iter().zip(&ports) {
        assert!(list.contains(&format!("@{name}:6379")), "{name}");
        list = list.replace(&format!("@{name}:6379"), &format!("@127.0.0.1:{port}"));
    }
    let file = secrets.file("shards-here");
    fs::write(&file, list).unwrap();
    let start = |pod: &str| Pod::start(&[("FANFARE_SHARDS_FILE", &file), ("FANFARE_POD", pod)]);
    let (one, two) = (start("pod-1"), start("pod-2"));
    // One of these is on each shard.
    for number in 0..12 {
        let stream = stream_for(&format!("compose-{number}"));
        let mut viewer = Join::new(&two, &stream).open().await;
        one.post(&stream, "from the other pod").await;
        viewer.comments(1).await;
    }
    let keys = [secrets.file("viewer-keys"), secrets.file("service-keys")];
    let limits = path("deploy/limits.json").display().to_string();
    let with_keys = [
        ("FANFARE_LIMITS", &*limits),
        ("FANFARE_SHARDS_FILE", &*file),
        ("FANFARE_VIEWER_KEYS", &keys[0]),
        ("FANFARE_SERVICE_KEYS", &keys[1]),
    ];
    Pod::start(&with_keys).ready().await;
}

/// What compose mounts is there, or secrets.sh makes it; and it names every service that it speaks of.
#[test]
fn what_compose_mounts_is_there() {
    let (compose, deploy) = (object("deploy/compose.yaml"), path("deploy"));
    let services = compose["services"].as_mapping().unwrap();
    let mounts = services.values().filter_map(|service| service.get("volumes")).flat_map(texts);
    let sources: Vec<_> =
        mounts.filter_map(|mount| Some(mount.strip_prefix("./")?.split(':').next()?.to_owned())).collect();
    assert!(sources.len() >= 5, "{sources:?}");
    for source in sources {
        assert!(deploy.join(&source).exists(), "{source}");
    }
    let script = fs::read_to_string(deploy.join("secrets.sh")).unwrap();
    for secret in compose["secrets"].as_mapping().unwrap().values() {
        let file = Path::new(secret["file"].as_str().unwrap()).file_name().unwrap().to_str().unwrap();
        assert!(script.contains(&format!("\"$folder/{file}\"")), "secrets.sh makes no {file}");
    }
    let pods: Vec<_> = services.keys().filter(|name| name.as_str().unwrap().starts_with("pod")).collect();
    assert_eq!((pods.len(), SHARDS.iter().filter(|name| services.contains_key(**name)).count()), (2, 3));
}

/// Prometheus' configurations, and the collector's: what is laid over it names what is there.
#[test]
fn the_configurations_of_compose_fit() {
    let configurations = files("deploy/prometheus", "prometheus", ".yaml");
    assert_eq!(configurations.len(), 2, "{configurations:?}");
    for file in configurations {
        let checked = Command::new("promtool").args(["check", "config"]).arg(&file).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
    let (base, over) = (object("deploy/otel-collector.yaml"), object("deploy/otel-collector.compose.yaml"));
    for (name, pipeline) in at(&over, "service.pipelines").as_mapping().unwrap() {
        let known =
            at(&base, "service.pipelines").get(name).unwrap_or_else(|| panic!("no pipeline {name:?}"));
        assert!(known["receivers"].is_sequence());
        for exporter in texts(&pipeline["exporters"]) {
            let is_known = |config: &Value| config["exporters"].get(&exporter).is_some();
            assert!((is_known(&base) || is_known(&over)) && exporter != "googlecloud", "{exporter}");
        }
    }
}
