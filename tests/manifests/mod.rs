//! What the manifests say holds together: numbers, keys, names, and Istio's objects field by field. `make verify` builds
//! them with kubectl, validates the rest, and runs the routes in a real Envoy (scripts/bluegreen.sh).

mod compose;
mod istio;
mod keys;
mod mesh;
mod monitoring;
mod numbers;
mod selectors;

use std::{fs, process::Command};

use serde_yaml_ng::Value;
use testkit::{Join, Pod, stream_for};

use crate::deploy::{files, path};

/// The objects of a file.
fn objects(file: &str) -> Vec<Value> {
    use serde::Deserialize as _;
    let text = fs::read_to_string(path(file)).unwrap();
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    let mut objects: Vec<_> = documents.map(|document| Value::deserialize(document).unwrap()).collect();
    for object in &mut objects {
        assert!(object.is_mapping(), "{file}");
        object.apply_merge().unwrap();
    }
    objects
}

/// The objects that Kustomize builds from an overlay.
fn rendered(overlay: &str) -> Vec<Value> {
    use serde::Deserialize as _;
    let folder = path("k8s/overlays").join(overlay);
    let built = Command::new(path("scripts/kubectl.sh")).arg("kustomize").arg(&folder).output().unwrap();
    assert!(built.status.success(), "{overlay}: {}", String::from_utf8_lossy(&built.stderr));
    let documents = serde_yaml_ng::Deserializer::from_slice(&built.stdout);
    documents.map(|document| Value::deserialize(document).unwrap()).collect()
}

/// The only object of a file.
fn object(file: &str) -> Value {
    let mut objects = objects(file);
    assert_eq!(objects.len(), 1, "{file}");
    objects.remove(0)
}

/// What a path of keys and numbers leads to.
fn at<'a>(value: &'a Value, keys: &str) -> &'a Value {
    let step = |value: &'a Value, key: &str| match key.parse::<usize>() {
        Ok(number) => &value[number],
        Err(_) => &value[key],
    };
    let found = keys.split('.').fold(value, step);
    assert!(!found.is_null(), "there is no {keys}");
    found
}

/// The one container.
fn container(deployment: &Value) -> &Value {
    let containers = at(deployment, "spec.template.spec.containers").as_sequence().unwrap();
    assert_eq!(containers.len(), 1);
    &containers[0]
}

/// A setting's value in the Deployment.
fn setting<'a>(deployment: &'a Value, name: &str) -> &'a str {
    let environment = container(deployment)["env"].as_sequence().unwrap();
    let found = environment.iter().find(|each| each["name"] == name);
    found.and_then(|each| each["value"].as_str()).unwrap_or_else(|| panic!("no {name}"))
}

/// The header and the query that choose a track are for the gateway: a pod takes whoever comes.
#[tokio::test]
async fn what_the_mesh_chooses_by_changes_nothing_in_a_pod() {
    let pod = Pod::shared();
    let join = Join::new(&pod, &stream_for("mesh"));
    for join in [join.clone().with_header("x-fanfare-track", "green"), join.with_query("track", "green")] {
        assert_eq!(join.open().await.hello()["track"], "blue");
    }
}
