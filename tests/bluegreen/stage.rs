//! Everything that a release needs, on one machine: a shard, two pods of each track, the gateway.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde::Deserialize as _;
use serde_json::Value;
use testkit::{Join, PATIENCE, Pod, RedisServer, Signal, eventually};

use super::{endpoints::Endpoints, envoy::Envoy};

/// What a release needs; it ends in this order.
pub(crate) struct Stage {
    pub(crate) blue: Vec<Pod>,
    green: Vec<Pod>,
    pub(crate) endpoints: Endpoints,
    pub(crate) envoy: Envoy,
    overlay: String,
    shards: String,
    _redis: RedisServer,
}

impl Stage {
    /// Starts it; `settings` are the pods'.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let redis = RedisServer::durable();
        let shards = format!("a={}", redis.url());
        let overlay = rehearsed(&manifests());
        let envoy = Envoy::start(&overlay).await;
        let endpoints = Endpoints::of(envoy.istiod());
        let (blue, green) = (Vec::new(), Vec::new());
        let mut stage = Self { blue, green, endpoints, envoy, overlay, shards, _redis: redis };
        for name in ["blue-1", "blue-2", "green-1", "green-2"] {
            let pod = stage.start_pod(name, settings);
            stage.endpoints.add(name, &pod);
            if name.starts_with("blue") { stage.blue.push(pod) } else { stage.green.push(pod) }
        }
        stage.has_ready(2, 2).await;
        stage
    }

    /// Starts a pod of the track that its name begins with. Each has an address of its own, since istiod knows a pod by
    /// its address.
    pub(crate) fn start_pod(&self, name: &str, settings: &[(&str, &str)]) -> Pod {
        let address = format!("127.0.0.{}:0", self.endpoints.count() + 11);
        let (track, _) = name.split_once('-').unwrap();
        let own = [
            ("FANFARE_SHARDS", self.shards.as_str()),
            ("FANFARE_TRACK", track),
            ("FANFARE_POD", name),
            ("FANFARE_LISTEN", &address),
            // As the Deployment says: the gateway tries another pod.
            ("FANFARE_SOCKET_REFUSALS_PER_SECOND", "0"),
        ];
        Pod::start(&[&own, settings].concat())
    }

    /// Where viewers connect.
    pub(crate) fn public(&self) -> SocketAddr {
        self.envoy.public
    }

    /// How a viewer joins through the gateway.
    pub(crate) fn join(&self, stream: &str) -> Join {
        Join::at(self.public(), stream)
    }

    /// Waits until the gateway has so many endpoints of each track.
    pub(crate) async fn has_ready(&self, blue: usize, green: usize) {
        eventually("the gateway knows who is ready", PATIENCE, async || {
            let ready = (self.envoy.ready_in("blue").await, self.envoy.ready_in("green").await);
            (ready == (blue, green)).then_some(())
        })
        .await;
    }

    /// The weights of the last two routes, as an edit of the VirtualService sets them.
    pub(crate) async fn weights(&self, blue: u32, green: u32) {
        let edit = |mut object: Value| {
            for route in object.pointer_mut("/spec/http").and_then(Value::as_array_mut).into_iter().flatten()
            {
                for each in route["route"].as_array_mut().unwrap().iter_mut() {
                    if each.get("weight").is_some() {
                        let is_blue = each["destination"]["subset"] == "blue";
                        each["weight"] = if is_blue { blue } else { green }.into();
                    }
                }
            }
            serde_yaml_ng::to_string(&object).unwrap()
        };
        let objects = serde_yaml_ng::Deserializer::from_str(&self.overlay);
        let objects: Vec<_> = objects.map(|object| edit(Value::deserialize(object).unwrap())).collect();
        self.envoy.apply(&objects.join("\n---\n")).await;
    }

    /// What `kubectl scale --replicas=0` does to the blue pods; returns when they have left.
    pub(crate) async fn drain_blue(&self) {
        self.blue.iter().for_each(|pod| pod.signal(Signal::Term));
        for pod in &self.blue {
            assert_eq!(pod.exit(Duration::from_secs(60)).await, Some(0));
        }
        self.has_ready(0, 2).await;
    }
}

/// Where our manifests are.
pub(crate) fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s")
}

/// An overlay as `kubectl kustomize` builds it.
pub(crate) fn rendered(manifests: &Path, overlay: &str) -> String {
    let kubectl = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kubectl.sh");
    let overlay = manifests.join("overlays").join(overlay);
    let output = Command::new(kubectl).arg("kustomize").arg(overlay).output().expect("kubectl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The overlay `istio` under the name of this machine, whose clients speak plain HTTP to it: port 80 serves instead of
/// leading to port 443.
pub(crate) fn rehearsed(manifests: &Path) -> String {
    let text = rendered(manifests, "istio").replace("fanfare.example.com", "127.0.0.1");
    let redirect = "    tls:\n      httpsRedirect: true\n";
    assert!(text.contains(redirect), "{text}");
    text.replace(redirect, "")
}
