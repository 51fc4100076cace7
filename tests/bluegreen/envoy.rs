//! A real Envoy as the gateway: it asks istiod's discovery server for its listeners, routes, clusters and endpoints.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use serde_json::{Value, json};
use testkit::{PATIENCE, eventually};

use super::istiod::{Addresses, Istiod};

/// An Envoy process; dropping it ends it and removes its files.
pub(crate) struct Envoy {
    child: Child,
    folder: PathBuf,
    admin: SocketAddr,
    istiod: Istiod,
    /// Where the public name leads.
    pub(crate) public: SocketAddr,
}

impl Envoy {
    /// Starts one with the objects of a rendered overlay, and no endpoints yet.
    pub(crate) async fn start(overlay: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("fanfare-envoy-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let (istiod, addresses) = Istiod::start(overlay, &folder);
        fs::write(folder.join("envoy.json"), bootstrap(addresses).to_string()).unwrap();
        let mut child = spawn(&folder);
        let told = folder.join("admin");
        let admin = eventually("Envoy says where its admin port is", PATIENCE, async || {
            let gone = child.try_wait().unwrap();
            assert!(gone.is_none(), "Envoy ended: {gone:?}, {}", log(&folder));
            fs::read_to_string(&told).ok()?.trim().parse().ok()
        });
        let envoy = Self { admin: admin.await, child, folder, istiod, public: addresses.http };
        eventually("Envoy listens", PATIENCE, async || {
            tokio::net::TcpStream::connect(envoy.public).await.ok()
        })
        .await;
        envoy
    }

    /// Replaces the objects of the overlay by others; returns when their routes are in force.
    pub(crate) async fn apply(&self, overlay: &str) {
        let before = self.istiod.apply(overlay);
        eventually("the routes are in force", PATIENCE, async || {
            let dump = self.ask("/config_dump?resource=dynamic_route_configs").await;
            let configs = dump["configs"].as_array()?;
            let is_new = |config: &Value| version_of(config).is_some_and(|each| each > before);
            (!configs.is_empty() && configs.iter().all(is_new)).then_some(())
        })
        .await;
    }

    /// The discovery server, which tells the endpoints.
    pub(crate) fn istiod(&self) -> Istiod {
        self.istiod.clone()
    }

    /// How many endpoints a track has.
    pub(crate) async fn ready_in(&self, track: &str) -> usize {
        let clusters = self.ask("/clusters?format=json").await;
        let name = cluster_of(track);
        let mut clusters = clusters["cluster_statuses"].as_array().unwrap().iter();
        let found = clusters.find(|cluster| cluster["name"] == name.as_str());
        found.and_then(|cluster| cluster["host_statuses"].as_array()).map_or(0, Vec::len)
    }

    /// The number of requests of a track that were sent again to another pod.
    pub(crate) async fn retries(&self, track: &str) -> u64 {
        // istiod ends the name of a cluster in statistics so.
        let name = format!("cluster.{};.upstream_rq_retry", cluster_of(track));
        let stats = self.ask("/stats?format=json&filter=upstream_rq_retry$").await;
        let mut stats = stats["stats"].as_array().unwrap().iter();
        let found = stats.find(|each| each["name"] == name.as_str()).unwrap_or_else(|| panic!("no {name}"));
        found["value"].as_u64().unwrap()
    }

    async fn ask(&self, path: &str) -> Value {
        let (admin, path) = (self.admin, path.to_owned());
        let text = tokio::task::spawn_blocking(move || fetch(admin, &path)).await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// An answer's body. Envoy speaks in chunks, which the client of our own tests does not know.
pub(crate) fn fetch(admin: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(admin).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, mut rest) = answer.split_once("\r\n\r\n").unwrap();
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return rest.to_owned();
    }
    let mut body = String::new();
    while let Some((length, chunk)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        body.push_str(&chunk[..length]);
        rest = chunk[length..].strip_prefix("\r\n").unwrap();
    }
    body
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("Envoy's log ends:\n{}", log(&self.folder));
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn spawn(folder: &Path) -> Child {
    let envoy = std::env::var_os("ENVOY").expect("ENVOY is an envoy: run scripts/bluegreen.sh");
    Command::new(envoy)
        .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning", "-c"])
        .arg(folder.join("envoy.json"))
        .arg("--admin-address-path")
        .arg(folder.join("admin"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join("log")).unwrap())
        .spawn()
        .unwrap()
}

/// The name that istiod gives to a track's cluster.
fn cluster_of(track: &str) -> String {
    format!("outbound|8080|{track}|fanfare.fanfare.svc.cluster.local")
}

/// The bootstrap of a gateway's pod: its name and labels, and the way to istiod.
fn bootstrap(addresses: Addresses) -> Value {
    let from_istiod = json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    let socket = |address: SocketAddr| json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}});
    let endpoint = json!({"endpoint": {"address": socket(addresses.discovery)}});
    json!({
        "node": {
            "id": "router~127.0.0.1~gateway.istio-ingress~istio-ingress.svc.cluster.local",
            "cluster": "gateway.istio-ingress",
            "metadata": {
                "NAMESPACE": "istio-ingress",
                "LABELS": {"istio": "ingressgateway"},
                "INSTANCE_IPS": "127.0.0.1",
                "CLUSTER_ID": "Kubernetes",
                "ISTIO_VERSION": "1.31.0",
            },
        },
        "admin": {"address": socket(SocketAddr::from(([127, 0, 0, 1], 0)))},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "istiod"}}],
            },
            "cds_config": from_istiod,
            "lds_config": from_istiod,
        },
        "static_resources": {"clusters": [{
            "name": "istiod",
            "type": "STATIC",
            "connect_timeout": "1s",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }},
            "load_assignment": {"cluster_name": "istiod", "endpoints": [{"lb_endpoints": [endpoint]}]},
        }]},
    })
}

/// The number of a route configuration's version, which is `time/number`.
fn version_of(config: &Value) -> Option<u64> {
    config["version_info"].as_str()?.rsplit('/').next()?.parse().ok()
}

fn log(folder: &Path) -> String {
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
