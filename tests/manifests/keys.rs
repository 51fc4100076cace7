//! Nobody gets in without keys, and keys come from Secrets.

use std::collections::BTreeSet;

use super::{at, container, files, object, setting};

/// Every file that starts a pod, or helps to: its name and its text.
fn manifests() -> Vec<(String, String)> {
    [files("k8s", "", ""), files("deploy", "", "")]
        .concat()
        .into_iter()
        .map(|file| (file.display().to_string(), std::fs::read_to_string(&file).unwrap()))
        .collect()
}

/// No manifest starts a pod that is open to everybody.
#[test]
fn no_manifest_says_that_everybody_may_post() {
    let manifests = manifests();
    assert!(manifests.len() > 15, "{}", manifests.len());
    for (file, text) in &manifests {
        // In two parts, so that nobody finds it here.
        assert!(!text.contains(concat!("FANFARE", "_OPEN")), "{file}");
    }
    let starts_pods =
        |(file, text): &&(String, String)| file.ends_with(".yaml") && text.contains("FANFARE_LISTEN");
    let with_pods: Vec<_> = manifests.iter().filter(starts_pods).collect();
    assert_eq!(with_pods.len(), 2, "the Deployment and compose.yaml");
    for (file, text) in with_pods {
        assert!(text.contains("FANFARE_VIEWER_KEYS") && text.contains("FANFARE_SERVICE_KEYS"), "{file}");
    }
}

/// In Kubernetes the lists of shards and keys lie in folders that Secrets fill.
#[test]
fn the_deployments_keys_and_passwords_come_from_secrets() {
    let deployment = object("k8s/base/deployment.yaml");
    let pod = at(&deployment, "spec.template.spec");
    for name in ["FANFARE_SHARDS_FILE", "FANFARE_VIEWER_KEYS", "FANFARE_SERVICE_KEYS"] {
        let file = setting(&deployment, name);
        let mounts = container(&deployment)["volumeMounts"].as_sequence().unwrap();
        let mount = mounts.iter().find(|mount| file.starts_with(mount["mountPath"].as_str().unwrap()));
        let mount = mount.unwrap_or_else(|| panic!("{name} lies in no volume"));
        assert!(mount["readOnly"] == true && mount["subPath"].is_null(), "{mount:?}");
        let volumes = pod["volumes"].as_sequence().unwrap();
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
        assert!(volume["secret"]["secretName"].is_string(), "{volume:?}");
    }
}

/// In compose they are Secrets, which files fill that are not in the repository.
#[test]
fn composes_keys_and_passwords_come_from_secrets() {
    let compose = object("deploy/compose.yaml");
    let secrets = compose["secrets"].as_mapping().unwrap();
    let known: BTreeSet<_> = secrets.keys().map(|key| key.as_str().unwrap()).collect();
    for pod in ["pod-1", "pod-2"] {
        let pod = &compose["services"][pod];
        let mounted: BTreeSet<_> =
            pod["secrets"].as_sequence().unwrap().iter().map(|each| each.as_str().unwrap()).collect();
        assert!(mounted.is_subset(&known));
        for name in ["FANFARE_SHARDS_FILE", "FANFARE_VIEWER_KEYS", "FANFARE_SERVICE_KEYS"] {
            let file = pod["environment"][name].as_str().unwrap_or_else(|| panic!("no {name}"));
            let secret = file.strip_prefix("/run/secrets/").unwrap_or_else(|| panic!("{name} is no Secret"));
            assert!(mounted.contains(secret), "{secret}");
        }
    }
    let ignored = std::fs::read_to_string(super::path(".gitignore")).unwrap();
    for secret in secrets.values() {
        let file = secret["file"].as_str().unwrap();
        assert!(file.starts_with("./secrets/"), "{file}");
    }
    assert!(ignored.lines().any(|line| line == "deploy/secrets/"), "Secrets must not be committed");
}
