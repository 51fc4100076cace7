//! A real Envoy, configured as istiod configures a gateway's: routes and endpoints come from files that are replaced.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use serde_json::{Value, json};

use crate::{
    mesh::{self, Mesh},
    world::{PATIENCE, eventually},
};

/// An Envoy process; dropping it ends it and removes its files.
pub(crate) struct Envoy {
    child: Child,
    folder: PathBuf,
    admin: SocketAddr,
    /// Where the public name leads.
    pub(crate) public: SocketAddr,
}

impl Envoy {
    /// Starts one with the routes of a mesh, and no endpoints yet.
    pub(crate) async fn start(mesh: &Mesh) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("fanfare-envoy-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        replace(&folder.join("routes.json"), &discovery(&[mesh::routes(mesh)]));
        let clusters = mesh::clusters(mesh, folder.to_str().unwrap());
        for (track, cluster) in &clusters {
            let nobody = assignment(cluster["name"].as_str().unwrap(), &[]);
            replace(&folder.join(format!("{track}.json")), &discovery(&[nobody]));
        }
        let clusters: Vec<_> = clusters.into_iter().map(|(_, cluster)| cluster).collect();
        fs::write(folder.join("envoy.json"), bootstrap(&folder, &clusters).to_string()).unwrap();
        let mut child = spawn(&folder);
        let told = folder.join("admin");
        let admin = eventually("Envoy says where its admin port is", PATIENCE, async || {
            let gone = child.try_wait().unwrap();
            assert!(gone.is_none(), "Envoy ended: {gone:?}, {}", log(&folder));
            fs::read_to_string(&told).ok()?.trim().parse().ok()
        });
        let mut envoy =
            Self { admin: admin.await, child, folder, public: SocketAddr::from(([127, 0, 0, 1], 0)) };
        envoy.public = eventually("Envoy listens", PATIENCE, async || envoy.listener().await).await;
        envoy
    }

    /// Replaces the routes; returns when they are in force.
    pub(crate) async fn route(&self, mesh: &Mesh) {
        let discovery = discovery(&[mesh::routes(mesh)]);
        let version = discovery["version_info"].clone();
        replace(&self.folder.join("routes.json"), &discovery);
        eventually("the routes are in force", PATIENCE, async || {
            let dump = self.ask("/config_dump?resource=dynamic_route_configs").await;
            (dump["configs"][0]["version_info"] == version).then_some(())
        })
        .await;
    }

    /// What replaces the endpoints of each track.
    pub(crate) fn endpoints(&self) -> EndpointFiles {
        EndpointFiles(self.folder.clone())
    }

    /// How many endpoints a track has.
    pub(crate) async fn ready_in(&self, track: &str) -> usize {
        let clusters = self.ask("/clusters?format=json").await;
        let name = cluster_of(track);
        let mut clusters = clusters["cluster_statuses"].as_array().unwrap().iter();
        let found = clusters.find(|cluster| cluster["name"] == name.as_str()).unwrap();
        found["host_statuses"].as_array().map_or(0, Vec::len)
    }

    async fn listener(&self) -> Option<SocketAddr> {
        let listeners = self.ask("/listeners?format=json").await;
        let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
        format!("{}:{}", address["address"].as_str()?, address["port_value"].as_u64()?).parse().ok()
    }

    async fn ask(&self, path: &str) -> Value {
        let (admin, path) = (self.admin, path.to_owned());
        let text = tokio::task::spawn_blocking(move || fetch(admin, &path)).await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// An answer's body. Envoy speaks in chunks, which the client of our own tests does not know.
fn fetch(admin: SocketAddr, path: &str) -> String {
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

/// Where Envoy reads its endpoints.
#[derive(Clone)]
pub(crate) struct EndpointFiles(PathBuf);

impl EndpointFiles {
    /// Replaces the endpoints of a track.
    pub(crate) fn replace(&self, track: &str, ready: &[SocketAddr]) {
        let discovery = discovery(&[assignment(&cluster_of(track), ready)]);
        replace(&self.0.join(format!("{track}.json")), &discovery);
    }
}

fn cluster_of(track: &str) -> String {
    format!("outbound|8080|{track}|fanfare")
}

fn spawn(folder: &Path) -> Child {
    let envoy = std::env::var_os("ENVOY").expect("ENVOY is an envoy: run tests/bluegreen.sh");
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

fn bootstrap(folder: &Path, clusters: &[Value]) -> Value {
    let routes = mesh::from_file(folder.join("routes.json").to_str().unwrap());
    let connections = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "fanfare",
        "rds": {"route_config_name": "fanfare", "config_source": routes},
        // As Istio does for every listener: WebSockets may be, and no stream is closed for being quiet.
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "stream_idle_timeout": "0s",
        "use_remote_address": true,
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
    });
    let anywhere = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
    json!({
        "node": {"id": "gateway", "cluster": "fanfare"},
        "admin": {"address": anywhere},
        "static_resources": {
            "listeners": [{
                "name": "gateway",
                "address": anywhere,
                "filter_chains": [{"filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": connections,
                }]}],
            }],
            "clusters": clusters,
        },
    })
}

fn assignment(cluster: &str, ready: &[SocketAddr]) -> Value {
    let endpoint = |address: &SocketAddr| {
        let socket = json!({"address": address.ip().to_string(), "port_value": address.port()});
        json!({"endpoint": {"address": {"socket_address": socket}}})
    };
    let endpoints: Vec<_> = ready.iter().map(endpoint).collect();
    json!({
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": cluster,
        "endpoints": [{"lb_endpoints": endpoints}],
    })
}

fn discovery(resources: &[Value]) -> Value {
    static VERSION: AtomicU64 = AtomicU64::new(1);
    let version = VERSION.fetch_add(1, Ordering::Relaxed).to_string();
    json!({"version_info": version, "resources": resources})
}

/// Envoy notices files that are moved to where it looks, and never reads half of one.
fn replace(file: &Path, content: &Value) {
    let new = file.with_extension("new");
    fs::write(&new, content.to_string()).unwrap();
    fs::rename(&new, file).unwrap();
}

fn log(folder: &Path) -> String {
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
