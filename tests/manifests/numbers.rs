//! Numbers that depend on each other.

use std::{collections::BTreeSet, time::Duration};

use serde_yaml_ng::Value;

use super::{at, container, files, object, objects, setting};

fn seconds(text: &str) -> u64 {
    let time: Duration = humantime::parse_duration(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    time.as_secs()
}

fn deployment() -> Value {
    object("k8s/base/deployment.yaml")
}

/// The default of a setting, as the code has it.
fn default(name: &str) -> f64 {
    let source = std::fs::read_to_string(super::path("src/config/ready.rs")).unwrap();
    let line = source.lines().find(|line| line.contains(&format!("\"{name}\""))).unwrap();
    line.split("default_value = \"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
}

/// OPERATIONS: the pod is done before the sidecar goes, and the sidecar before both are killed.
#[test]
fn the_pod_ends_before_its_sidecar_and_that_before_the_grace() {
    let deployment = deployment();
    let pod = at(&deployment, "spec.template");
    let drain = seconds(setting(&deployment, "FANFARE_DRAIN"));
    let settle = seconds(setting(&deployment, "FANFARE_SETTLE"));
    let grace = at(pod, "spec.terminationGracePeriodSeconds").as_u64().unwrap();
    assert_eq!((grace, seconds(setting(&deployment, "FANFARE_GRACE"))), (drain + 20, drain + 20));
    let proxy = pod["metadata"]["annotations"]["proxy.istio.io/config"].as_str().unwrap();
    let proxy: Value = serde_yaml_ng::from_str(proxy).unwrap();
    let sidecar = seconds(proxy["terminationDrainDuration"].as_str().unwrap());
    assert_eq!(sidecar, drain + 15);
    // The exit takes 5 s beyond them at the most: README, "Leaving".
    assert!(settle + drain + 5 < sidecar && sidecar < grace);
}

/// A sidecar that is killed for its memory cuts every viewer of its pod.
#[test]
fn the_sidecar_has_room_for_the_most_viewers() {
    let deployment = deployment();
    let annotations = at(&deployment, "spec.template.metadata.annotations");
    let mebibytes = |name: &str| -> u64 {
        let text = annotations[name].as_str().unwrap();
        let (number, factor) = text.strip_suffix("Gi").map_or((text, 1), |number| (number, 1_024));
        number.trim_end_matches("Mi").parse::<u64>().unwrap() * factor
    };
    let viewers: u64 = setting(&deployment, "FANFARE_MAX_VIEWERS").parse().unwrap();
    let needed = 68 + viewers * SIDECAR_KIB_A_VIEWER / 1_024;
    assert!(needed < mebibytes("sidecar.istio.io/proxyMemory"), "{needed} MiB");
    // A twentieth of the viewers stall.
    let stalled = viewers / 20 * 820 / 1_024;
    let limit = mebibytes("sidecar.istio.io/proxyMemoryLimit");
    assert!(needed * 3 / 2 < limit && needed + stalled < limit, "{needed} and {stalled} MiB");
}

/// Symptom: comments were late while pods had CPU to spare. Cause: the sidecar takes three to four times the pod's CPU for a
/// delivery, and was given as much as the pod.
#[test]
fn the_sidecar_has_the_cpu_that_its_pods_deliveries_need() {
    let deployment = deployment();
    let pod: f64 = at(container(&deployment), "resources.limits.cpu").as_str().unwrap().parse().unwrap();
    let annotations = at(&deployment, "spec.template.metadata.annotations");
    let cores = |name: &str| -> f64 { annotations[name].as_str().unwrap().parse().unwrap() };
    let (least, most) = SIDECAR_MICROSECONDS_A_DELIVERY;
    assert!(cores("sidecar.istio.io/proxyCPU") >= pod * least / POD_MICROSECONDS_A_DELIVERY);
    let limit = cores("sidecar.istio.io/proxyCPULimit");
    assert!(limit >= pod * most / POD_MICROSECONDS_A_DELIVERY, "{limit}");
    let proxy = annotations["proxy.istio.io/config"].as_str().unwrap();
    let proxy: Value = serde_yaml_ng::from_str(proxy).unwrap();
    assert_eq!(proxy["concurrency"].as_f64(), Some(limit), "a thread for each core");
}

/// docs/figures.md.
const SIDECAR_KIB_A_VIEWER: u64 = 55;
const SIDECAR_MICROSECONDS_A_DELIVERY: (f64, f64) = (38.0, 49.0);
const POD_MICROSECONDS_A_DELIVERY: f64 = 13.0;

/// New pods come before old ones refuse, by CPU and by viewers; and both speak of the same CPU.
#[test]
fn the_autoscaler_acts_before_readiness_does() {
    let (deployment, autoscaler) = (deployment(), object("k8s/base/autoscaler.yaml"));
    let target =
        at(&autoscaler, "spec.metrics.0.containerResource.target.averageUtilization").as_f64().unwrap()
            / 100.0;
    let (low, high) = (default("FANFARE_READY_CPU_LOW"), default("FANFARE_READY_CPU_HIGH"));
    assert!(target < low && low < high, "{target} {low} {high}");
    let resources = &container(&deployment)["resources"];
    assert_eq!(resources["requests"], resources["limits"]);
    let viewers: f64 =
        at(&autoscaler, "spec.metrics.1.pods.target.averageValue").as_str().unwrap().parse().unwrap();
    let most: f64 = setting(&deployment, "FANFARE_MAX_VIEWERS").parse().unwrap();
    assert!((viewers / most - target).abs() < 1e-9, "{viewers} of {most}");
    assert_eq!(
        at(&autoscaler, "spec.metrics.0.containerResource.container"),
        &container(&deployment)["name"]
    );
    assert!(at(&deployment, "spec").get("replicas").is_none(), "an apply would undo what the autoscaler did");
}

/// Once is enough to be steered around; a restart needs half a minute of silence.
#[test]
fn probes_ask_the_ops_port_every_two_seconds() {
    let deployment = deployment();
    let container = container(&deployment);
    for (probe, path, failures) in
        [("startupProbe", "/live", 30), ("livenessProbe", "/live", 15), ("readinessProbe", "/ready", 1)]
    {
        let probe = &container[probe];
        assert_eq!((&probe["httpGet"]["path"], &probe["httpGet"]["port"]), (&path.into(), &"ops".into()));
        assert_eq!(
            (&probe["periodSeconds"], &probe["failureThreshold"]),
            (&2.into(), &failures.into()),
            "{path}"
        );
    }
}

/// What Kubernetes' level "restricted" asks, and a root that nobody writes to.
#[test]
fn pods_are_restricted() {
    let deployment = deployment();
    let (pod, container) = (at(&deployment, "spec.template.spec"), container(&deployment));
    assert_eq!(*at(pod, "securityContext.runAsNonRoot"), true);
    assert_eq!(*at(pod, "securityContext.seccompProfile.type"), "RuntimeDefault");
    assert_eq!(*at(container, "securityContext.allowPrivilegeEscalation"), false);
    assert_eq!(*at(container, "securityContext.readOnlyRootFilesystem"), true);
    assert_eq!(*at(container, "securityContext.capabilities.drop.0"), "ALL");
    assert_eq!(
        (at(pod, "automountServiceAccountToken"), at(pod, "enableServiceLinks")),
        (&false.into(), &false.into())
    );
    let namespace = object("k8s/namespace.yaml");
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
}

/// Symptom: a node drain moved every hot pod of a track at once. Cause: `AlwaysAllow` lets unready pods pass the budget.
#[test]
fn a_hot_pod_counts_against_the_disruption_budget() {
    let budget = object("k8s/base/disruption-budget.yaml");
    assert_eq!(*at(&budget, "spec.unhealthyPodEvictionPolicy"), "IfHealthyBudget");
    // With one, a single hot pod would hold up every drain of a node.
    assert_eq!(*at(&budget, "spec.maxUnavailable"), 2);
    let least = at(&object("k8s/base/autoscaler.yaml"), "spec.minReplicas").as_u64().unwrap();
    assert!(least > 2, "one pod is left");
}

/// Symptom: a scale-in ended the hottest pods. Cause: the controller ranks readiness before the deletion cost. The
/// autoscaler proposes fewer pods only if no metric proposes more, and a value at its target proposes as many as there are.
#[test]
fn a_metric_holds_the_scale_in_while_a_pod_is_unready() {
    for track in ["blue", "green"] {
        let objects = super::rendered(track);
        let of_kind = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).collect::<Vec<_>>();
        let autoscaler = of_kind("HorizontalPodAutoscaler")[0];
        let metrics = at(autoscaler, "spec.metrics").as_sequence().unwrap();
        let held = metrics.iter().find(|metric| metric["type"] == "Object").unwrap();
        let described = at(held, "object.describedObject.name");
        let services = of_kind("Service");
        let service = services.iter().find(|service| at(service, "metadata.name") == described).unwrap();
        assert_eq!(*at(service, "spec.ports.0.name"), "ops", "{described:?}");
        let target = at(held, "object.target");
        assert_eq!((&target["type"], &target["value"]), (&"Value".into(), &"1".into()));
        let document = std::fs::read_to_string(super::path("k8s/README.md")).unwrap();
        let name = at(held, "object.metric.name").as_str().unwrap();
        assert!(document.contains(&format!("name: {{ as: {name} }}")), "the adapter has no rule for {name}");
    }
}

/// A peer that is named by `matchLabels` would get this track's labels from Kustomize, and be somebody else.
#[test]
fn peers_of_the_network_policy_keep_their_names() {
    let policy = object("k8s/base/network-policy.yaml");
    let peers = |rule: &Value| rule["from"].as_sequence().unwrap().clone();
    let rules = at(&policy, "spec.ingress").as_sequence().unwrap();
    let all: Vec<_> = rules.iter().flat_map(peers).collect();
    assert!(all.len() >= 2);
    for peer in &all {
        assert!(peer["podSelector"]["matchExpressions"].is_sequence(), "{peer:?}");
        assert!(peer["namespaceSelector"]["matchExpressions"].is_sequence(), "{peer:?}");
    }
    assert_eq!(at(&rules[0], "ports").as_sequence().unwrap().len(), 1);
    assert_eq!(*at(&rules[0], "ports.0.port"), 8080, "the gateway reaches the public port alone");
}

/// What kubectl and the validator do not know: the Prometheus operator's object has these fields, and no others.
#[test]
fn prometheus_scrapes_the_ops_port_as_one_job() {
    let monitor = object("k8s/base/service-monitor.yaml");
    let fields = |value: &Value| -> BTreeSet<String> {
        value.as_mapping().unwrap().keys().map(|key| key.as_str().unwrap().to_owned()).collect()
    };
    let known = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(fields(at(&monitor, "spec")), known(&["endpoints", "jobLabel", "selector"]));
    let endpoint = at(&monitor, "spec.endpoints.0");
    assert_eq!(fields(endpoint), known(&["interval", "path", "port", "scrapeTimeout"]));
    assert_eq!((&endpoint["port"], &endpoint["path"]), (&"ops".into(), &"/metrics".into()));
    // The rules' job is "fanfare", and this label's value is that in every object.
    let label = at(&monitor, "spec.jobLabel").as_str().unwrap();
    assert_eq!(monitor["spec"]["selector"]["matchLabels"][label], "fanfare");
    let ops = &objects("k8s/base/service.yaml")[1];
    assert_eq!(ops["metadata"]["labels"]["fanfare-port"], "ops");
    assert_eq!(at(ops, "spec.publishNotReadyAddresses").as_bool(), Some(true));
}

/// Whoever writes a manifest writes names that the server knows.
#[test]
fn every_setting_in_a_manifest_exists() {
    let words = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        words.filter(|word| word.starts_with("FANFARE_") && word.len() > 8).map(str::to_owned).collect()
    };
    let read = |files: Vec<std::path::PathBuf>| -> String {
        files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
    };
    let known = words(&read(files("src/config", "", ".rs")));
    let used = words(&read([files("k8s", "", ".yaml"), files("deploy", "compose", ".yaml")].concat()));
    assert!(used.len() > 8, "{used:?}");
    let unknown: Vec<_> = used.difference(&known).collect();
    assert!(unknown.is_empty(), "no such settings: {unknown:?}");
}

/// The limits that the repository recommends are those that the pods get; and they see clients, not the sidecar.
#[test]
fn pods_behind_the_mesh_limit_clients_by_their_own_addresses() {
    let read = |file: &str| std::fs::read_to_string(super::path(file)).unwrap();
    assert_eq!(read("k8s/base/limits.json"), read("deploy/limits.json"));
    let deployment = deployment();
    // Istio's sidecar speaks to its pod from this address.
    assert_eq!(setting(&deployment, "FANFARE_TRUSTED_PROXIES"), "127.0.0.6/32");
    let folder = setting(&deployment, "FANFARE_LIMITS").strip_suffix("/limits.json").unwrap();
    let mounts = container(&deployment)["volumeMounts"].as_sequence().unwrap();
    assert!(mounts.iter().any(|mount| mount["mountPath"] == folder && mount["name"] == "limits"), "{folder}");
}
