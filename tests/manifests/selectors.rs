//! The selectors of the rendered overlays. Kustomize fills in only a selector that stands in the base, so the files
//! themselves do not show what a cluster gets.

use std::collections::BTreeMap;

use serde_yaml_ng::Value;

use super::{at, rendered};

/// The labels of an object or of a pod.
type Labels = BTreeMap<String, String>;

/// The overlays of the two tracks, and the one that both share.
struct Rendered {
    blue: Vec<Value>,
    green: Vec<Value>,
    shared: Vec<Value>,
}

impl Rendered {
    fn read() -> Self {
        Self { blue: rendered("blue"), green: rendered("green"), shared: rendered("istio") }
    }

    fn objects(&mut self) -> Vec<&mut Value> {
        self.blue.iter_mut().chain(&mut self.green).chain(&mut self.shared).collect()
    }

    fn track(&self, track: &str) -> &[Value] {
        if track == "blue" { &self.blue } else { &self.green }
    }

    /// Checks each selector of each object; returns their number.
    ///
    /// # Errors
    /// Says which selector is absent, unknown to this test, or selects something else than it should.
    fn check(&self) -> Result<usize, String> {
        let mut count = 0;
        for track in ["blue", "green"] {
            for object in self.track(track) {
                count += self.check_object(object, &[track])?;
            }
        }
        for object in &self.shared {
            count += self.check_object(object, &["blue", "green"])?;
        }
        Ok(count)
    }

    fn check_object(&self, object: &Value, tracks: &[&str]) -> Result<usize, String> {
        let (kind, mut found) = (text(object, "kind"), Vec::new());
        selectors(object, &mut Vec::new(), &mut found);
        let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        let fault = |what: String| format!("{kind} {} of {tracks:?}: {what}", text(object, "metadata.name"));
        let Some((_, known)) = PLACES.iter().find(|(each, _)| *each == kind) else {
            return Err(fault("this test does not know the kind".to_owned()));
        };
        if places != *known {
            return Err(fault(format!("selectors at {places:?}, not at {known:?}")));
        }
        for (place, selector) in &found {
            self.check_selector(&kind, place, selector, tracks).map_err(fault)?;
        }
        Ok(found.len())
    }

    fn check_selector(
        &self,
        kind: &str,
        place: &str,
        selector: &Value,
        tracks: &[&str],
    ) -> Result<(), String> {
        let selected = |labels: &Labels| matches(selector, labels);
        if kind == "ServiceMonitor" {
            let services = self.blue.iter().chain(&self.green).chain(&self.shared);
            let services = services.filter(|object| text(object, "kind") == "Service");
            let names: Vec<_> = services
                .filter(|service| selected(&labels(service, "metadata.labels")))
                .map(|service| text(service, "metadata.name"))
                .collect();
            return (names == [format!("fanfare-ops-{}", tracks[0])])
                .then_some(())
                .ok_or_else(|| format!("selects the Services {names:?}"));
        }
        if place.contains("ingress") {
            return (!selected(&self.pod("blue")) && !selected(&self.pod("green")))
                .then_some(())
                .ok_or_else(|| format!("{place} lets the pods themselves in"));
        }
        if kind == "Gateway" {
            return self.is_let_in(&labels_of(selector)).then_some(()).ok_or_else(|| {
                format!("{place}: the pods' NetworkPolicy does not let these gateways in: {selector:?}")
            });
        }
        for track in ["blue", "green"] {
            let pod = self.pod(track);
            if selected(&pod) != tracks.contains(&track) {
                return Err(format!("{place} is wrong about the pods of {track}: {selector:?}"));
            }
            let other = Labels::from_iter([("track".to_owned(), track.to_owned())]);
            if selected(&other) || selected(&Labels::new()) {
                return Err(format!("{place} selects pods of other applications: {selector:?}"));
            }
        }
        Ok(())
    }

    /// Returns whether the first peer of both tracks' NetworkPolicies is a pod with these labels.
    fn is_let_in(&self, gateway: &Labels) -> bool {
        let policies =
            self.blue.iter().chain(&self.green).filter(|object| text(object, "kind") == "NetworkPolicy");
        let peers: Vec<_> = policies.map(|policy| at(policy, "spec.ingress.0.from.0.podSelector")).collect();
        peers.len() == 2 && peers.into_iter().all(|peer| matches(peer, gateway))
    }

    /// The labels of a track's pods.
    fn pod(&self, track: &str) -> Labels {
        let is_deployment = |object: &&Value| text(object, "kind") == "Deployment";
        let deployment = self.track(track).iter().find(is_deployment).expect("each track has a Deployment");
        labels(deployment, "spec.template.metadata.labels")
    }
}

/// The places where each kind has selectors; an object has all of them, and no others.
const PLACES: [(&str, &[&str]); 12] = [
    ("ServiceAccount", &[]),
    ("ConfigMap", &[]),
    ("HorizontalPodAutoscaler", &[]),
    ("VirtualService", &[]),
    ("DestinationRule", &[]),
    ("Namespace", &[]),
    ("Service", &["spec.selector"]),
    (
        "Deployment",
        &[
            "spec.selector",
            "spec.template.spec.topologySpreadConstraints.0.labelSelector",
            "spec.template.spec.topologySpreadConstraints.1.labelSelector",
        ],
    ),
    ("ServiceMonitor", &["spec.selector"]),
    (
        "NetworkPolicy",
        &[
            "spec.ingress.0.from.0.namespaceSelector",
            "spec.ingress.0.from.0.podSelector",
            "spec.ingress.1.from.0.namespaceSelector",
            "spec.ingress.1.from.0.podSelector",
            "spec.podSelector",
        ],
    ),
    ("PodDisruptionBudget", &["spec.selector"]),
    ("Gateway", &["spec.selector"]),
];

/// The selectors of an object and their places.
fn selectors<'a>(value: &'a Value, way: &mut Vec<String>, found: &mut Vec<(String, &'a Value)>) {
    let mut step = |key: String, inner: &'a Value| {
        let is_selector = key.to_lowercase().ends_with("selector");
        way.push(key);
        if is_selector {
            found.push((way.join("."), inner));
        } else {
            selectors(inner, way, found);
        }
        way.pop();
    };
    match value {
        Value::Mapping(fields) => {
            fields.iter().for_each(|(key, inner)| step(key.as_str().unwrap().to_owned(), inner));
        }
        Value::Sequence(items) => {
            items.iter().enumerate().for_each(|(number, inner)| step(number.to_string(), inner));
        }
        _ => {}
    }
}

/// Returns whether a selector, a plain map or one of `matchLabels` and `matchExpressions`, selects these labels.
fn matches(selector: &Value, labels: &Labels) -> bool {
    let has = |(key, value): (&Value, &Value)| {
        let label = labels.get(key.as_str().unwrap()).map(String::as_str);
        label.is_some() && label == value.as_str()
    };
    let all = |fields: &Value| fields.as_mapping().unwrap().iter().all(has);
    let is_structured = selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some();
    if !is_structured {
        return all(selector);
    }
    let expressions = selector.get("matchExpressions").and_then(Value::as_sequence).into_iter().flatten();
    selector.get("matchLabels").is_none_or(all) && expressions.into_iter().all(|each| holds(each, labels))
}

fn holds(expression: &Value, labels: &Labels) -> bool {
    assert_eq!(text(expression, "operator"), "In", "the other operators are not used");
    let values = expression["values"].as_sequence().unwrap();
    labels
        .get(&text(expression, "key"))
        .is_some_and(|label| values.iter().any(|value| value.as_str() == Some(label)))
}

fn labels(object: &Value, place: &str) -> Labels {
    labels_of(at(object, place))
}

fn labels_of(fields: &Value) -> Labels {
    let labels = fields.as_mapping().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    labels.map(|(key, value)| (text(key), text(value))).collect()
}

fn text(object: &Value, place: &str) -> String {
    at(object, place).as_str().unwrap_or_else(|| panic!("{place} is no text")).to_owned()
}

/// Symptom: a node drain took all six pods of a track at once, though a disruption budget stood beside them.
/// Cause: the base had no selector, and Kustomize's `includeSelectors` makes none; in policy/v1 a budget without a
/// selector guards no pod.
#[test]
fn every_rendered_selector_selects_the_pods_of_its_track_and_no_others() {
    let count = Rendered::read().check().unwrap();
    assert!(count >= 25, "{count} selectors");
}

/// What names pods or a Deployment without a selector: a subset's labels, and the autoscaler's target.
#[test]
fn each_subset_and_each_autoscaler_names_its_own_track() {
    let rendered = Rendered::read();
    let of = |objects: &[Value], kind: &str| {
        let found: Vec<_> = objects.iter().filter(|object| text(object, "kind") == kind).cloned().collect();
        assert_eq!(found.len(), 1, "{kind}");
        found[0].clone()
    };
    let rule = of(&rendered.shared, "DestinationRule");
    for (number, track) in ["blue", "green"].iter().enumerate() {
        let subset = at(&rule, &format!("spec.subsets.{number}"));
        assert_eq!(text(subset, "name"), *track);
        for other in ["blue", "green"] {
            assert_eq!(matches(at(subset, "labels"), &rendered.pod(other)), other == *track, "{subset:?}");
        }
        let target = of(rendered.track(track), "HorizontalPodAutoscaler");
        let deployment = of(rendered.track(track), "Deployment");
        assert_eq!(at(&target, "spec.scaleTargetRef.name"), at(&deployment, "metadata.name"));
    }
}

/// Returns a selector's faults: each as the place's new value, `None` for a selector that is taken away.
fn faults(selector: &Value) -> Vec<Option<Value>> {
    let value = |text: &str| serde_yaml_ng::from_str::<Value>(text).unwrap();
    let mut faults = vec![None, Some(value("{}")), Some(value("matchLabels: {}"))];
    for track in ["blue", "green"] {
        faults.push(Some(value(&format!("{{track: {track}}}"))));
    }
    for more in ["track: purple", "app.kubernetes.io/name: other"] {
        let fields = if selector.get("matchLabels").is_some() {
            format!("matchLabels: {{{more}}}")
        } else {
            more.to_owned()
        };
        faults.push(Some(value(&fields)));
    }
    faults
}

/// Plants a fault at a place; `None` takes the field away.
fn plant(object: &mut Value, place: &str, fault: Option<Value>) {
    let (above, field) = place.rsplit_once('.').unwrap();
    let mut inner = object;
    for key in above.split('.') {
        inner = match key.parse::<usize>() {
            Ok(number) => &mut inner[number],
            Err(_) => &mut inner[key],
        };
    }
    let fields = inner.as_mapping_mut().unwrap();
    match fault {
        Some(fault) => fields.insert(field.into(), fault),
        None => fields.remove(field),
    };
}

/// The check itself: a selector that is absent, empty, too wide or of other pods is found at every place.
#[test]
fn a_wrong_selector_is_found_at_every_place() {
    let (mut whole, mut planted) = (Rendered::read(), 0);
    for number in 0..whole.objects().len() {
        let object = whole.objects()[number].clone();
        let mut found = Vec::new();
        selectors(&object, &mut Vec::new(), &mut found);
        // The peers of a NetworkPolicy are no pods of ours: `peers_of_the_network_policy_keep_their_names`.
        for (place, selector) in found.iter().filter(|(place, _)| !place.contains("ingress")) {
            for fault in faults(selector) {
                plant(whole.objects()[number], place, fault.clone());
                assert!(whole.check().is_err(), "{fault:?} was passed over at {place} of {object:?}");
                planted += 1;
            }
            *whole.objects()[number] = object.clone();
        }
    }
    assert!(planted > 100, "{planted} faults were planted");
}
