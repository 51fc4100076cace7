//! Everything that a release needs, on one machine: a shard, two pods of each track, the gateway.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{endpoints::Endpoints, envoy::Envoy};
use crate::{
    mesh::Mesh,
    world::{Join, PATIENCE, Pod, RedisServer, Signal, eventually},
};

/// What a release needs; it ends in this order.
pub(crate) struct Stage {
    pub(crate) blue: Vec<Pod>,
    _green: Vec<Pod>,
    _endpoints: Endpoints,
    pub(crate) envoy: Envoy,
    mesh: Mesh,
    _redis: RedisServer,
}

impl Stage {
    /// Starts it; `settings` are the pods'.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let redis = RedisServer::durable();
        let shards = format!("a={}", redis.url());
        let mesh = rendered(&manifests());
        let envoy = Envoy::start(&mesh).await;
        let endpoints = Endpoints::of(envoy.endpoints());
        let start = |track: &str, name: &str| {
            let own = [("FANFARE_SHARDS", shards.as_str()), ("FANFARE_TRACK", track), ("FANFARE_POD", name)];
            let pod = Pod::start(&[&own, settings].concat());
            endpoints.add(track, &pod);
            pod
        };
        let blue = vec![start("blue", "blue-1"), start("blue", "blue-2")];
        let green = vec![start("green", "green-1"), start("green", "green-2")];
        let stage = Self { blue, _green: green, _endpoints: endpoints, envoy, mesh, _redis: redis };
        stage.has_ready(2, 2).await;
        stage
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

    /// The last route's weights, as an edit of the VirtualService sets them.
    pub(crate) async fn weights(&self, blue: u32, green: u32) {
        let mut mesh = self.mesh.clone();
        let everybody = mesh.routes.http.last_mut().unwrap();
        for each in &mut everybody.route {
            each.weight = Some(if each.destination.subset == "blue" { blue } else { green });
        }
        self.envoy.route(&mesh).await;
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

/// The objects of the overlay `istio`, under the name of this machine.
pub(crate) fn rendered(manifests: &Path) -> Mesh {
    let kubectl = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubectl.sh");
    let overlay = manifests.join("overlays/istio");
    let output = Command::new(kubectl).arg("kustomize").arg(overlay).output().expect("kubectl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Mesh::read(&text.replace("fanfare.example.com", "127.0.0.1")).unwrap()
}
