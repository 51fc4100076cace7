//! Istio's objects have no field that nobody knows.

use std::{collections::BTreeMap, fs};

use serde_yaml_ng::{Mapping, Value};

use super::{
    mesh::{Exact, Match, Mesh, Regex, Route},
    object, objects, path,
};

/// The overlay's objects, as one text.
fn overlay() -> String {
    let list = object("k8s/overlays/istio/kustomization.yaml");
    let files = list["resources"].as_sequence().unwrap();
    let read =
        |file: &Value| fs::read_to_string(path("k8s/overlays/istio").join(file.as_str().unwrap())).unwrap();
    files.iter().map(read).collect::<Vec<_>>().join("\n---\n")
}

/// The routes of a choice, in their order: one for handshakes and one for everything else.
fn pairs(mesh: &Mesh) -> Vec<(&Route, &Route)> {
    mesh.routes.http.chunks(2).map(|pair| (&pair[0], &pair[1])).collect()
}

/// The header and the query come first, then everybody, who are on blue.
#[test]
fn a_header_or_the_query_leads_to_green_and_everything_else_to_blue() {
    let mesh = Mesh::read(&overlay()).unwrap();
    let pairs = pairs(&mesh);
    let names: Vec<_> = pairs.iter().map(|(_, other)| other.name.as_str()).collect();
    assert_eq!(names, ["green", "blue", "everybody"]);
    for (_, route) in &pairs[..2] {
        let exact = |name: &str| BTreeMap::from([(name.to_owned(), Exact { exact: route.name.clone() })]);
        assert_eq!(route.r#match[0].headers, exact("x-fanfare-track"));
        assert_eq!(route.r#match[1].query_params, exact("track"));
        assert_eq!((route.r#match.len(), &route.route[0].destination.subset), (2, &route.name));
    }
    let weights: Vec<_> =
        pairs[2].1.route.iter().map(|each| (each.destination.subset.as_str(), each.weight)).collect();
    assert_eq!(weights, [("blue", Some(100)), ("green", Some(0))]);
    assert!(pairs[2].1.r#match.is_empty());
}

/// Symptom: viewers were refused while other pods had room. Cause: a 503 was not tried at another pod. A handshake is, and
/// nothing else: a pod that answers a post with 503 may have taken it.
#[test]
fn a_refused_handshake_is_tried_elsewhere_and_a_post_is_not() {
    let mesh = Mesh::read(&overlay()).unwrap();
    for (watch, other) in pairs(&mesh) {
        assert_eq!(watch.name, format!("{}-watch", other.name));
        assert_eq!(watch.route, other.route, "both lead to the same pods");
        let plain: Vec<_> = watch.r#match.iter().map(|each| Match { uri: None, ..each.clone() }).collect();
        let all = [Match::default()];
        assert_eq!(plain, if other.r#match.is_empty() { &all } else { &other.r#match[..] });
        let path = Regex { regex: "/v1/streams/[^/]+/watch".to_owned() };
        assert!(watch.r#match.iter().all(|each| each.uri.as_ref() == Some(&path)), "{watch:?}");
        assert_eq!(watch.retries.retry_on, "connect-failure,refused-stream,503");
        assert_eq!(other.retries.retry_on, "connect-failure,refused-stream");
        assert!(watch.retries.attempts >= 5 && other.retries.attempts == 2, "{watch:?}");
    }
}

/// Symptom: a post was answered 502 now and then. Cause: the proxy sent it on a pooled connection that the pod was just
/// closing. The proxy closes idle connections first.
#[test]
fn the_proxy_drops_idle_connections_before_the_pods_do() {
    let mesh = Mesh::read(&overlay()).unwrap();
    let readme = include_str!("../../README.md");
    let of_pods = readme.split("| `FANFARE_KEEP_ALIVE` | `").nth(1).and_then(|row| row.split('`').next());
    let seconds = |text: &str| text.strip_suffix('s').and_then(|number| number.parse::<u32>().ok());
    let of_pool = seconds(&mesh.rule.traffic_policy.connection_pool.http.idle_timeout);
    assert!(of_pool.is_some() && of_pool < of_pods.and_then(seconds), "{of_pool:?} of {of_pods:?}");
}

/// Every place of a document where a field could be added, as the ways to them.
fn places(value: &Value, way: &mut Vec<Value>, found: &mut Vec<Vec<Value>>) {
    match value {
        Value::Mapping(fields) => {
            // What has names of its own choice is no object with fields.
            if !matches!(
                way.last().and_then(Value::as_str),
                Some("labels" | "selector" | "headers" | "queryParams")
            ) {
                found.push(way.clone());
            }
            for (key, inner) in fields {
                way.push(key.clone());
                places(inner, way, found);
                way.pop();
            }
        }
        Value::Sequence(items) => {
            for (number, inner) in items.iter().enumerate() {
                way.push(number.into());
                places(inner, way, found);
                way.pop();
            }
        }
        _ => {}
    }
}

fn fields<'a>(value: &'a mut Value, way: &[Value]) -> &'a mut Mapping {
    let step = |value: &'a mut Value, key: &Value| match key.as_u64() {
        Some(number) => &mut value.as_sequence_mut().unwrap()[usize::try_from(number).unwrap()],
        None => value.get_mut(key).unwrap(),
    };
    way.iter().fold(value, step).as_mapping_mut().unwrap()
}

/// A field with another name is refused at every place of every object: one that Istio knows and we do not, or that
/// nobody knows.
#[test]
fn a_field_that_we_do_not_use_is_a_fault_at_every_place() {
    let whole = overlay();
    Mesh::read(&whole).unwrap();
    let files = ["service", "gateway", "virtual-service", "destination-rule"];
    let mut objects: Vec<_> =
        files.iter().flat_map(|file| objects(&format!("k8s/overlays/istio/{file}.yaml"))).collect();
    let mut count = 0;
    for number in 0..objects.len() {
        let mut ways = Vec::new();
        places(&objects[number], &mut Vec::new(), &mut ways);
        for way in ways {
            for name in ["outlierDetection", "surprise"] {
                fields(&mut objects[number], &way).insert(name.into(), Mapping::new().into());
                let text: Vec<_> =
                    objects.iter().map(|object| serde_yaml_ng::to_string(object).unwrap()).collect();
                let read = Mesh::read(&text.join("\n---\n"));
                assert!(read.is_err(), "{name} was passed over in {way:?} of object {number}");
                fields(&mut objects[number], &way).remove(name);
                count += 1;
            }
        }
    }
    assert!(count > 80, "{count} faults were planted");
}

/// What does not fit together is refused too.
#[test]
fn objects_that_do_not_fit_each_other_are_a_fault() {
    let whole = overlay();
    for (what, instead, why) in [
        ("subset: green", "subset: gren", "a subset that is not there"),
        ("weight: 100", "weight: 90", "weights that are not 100 together"),
        ("number: 8080", "number: 8081", "a port that the Service does not have"),
        ("host: fanfare\n", "host: fanfares\n", "a host that is not there"),
        ("gateways: [fanfare]", "gateways: [mesh]", "another gateway"),
        (
            "hosts: [fanfare.example.com]\n  gateways",
            "hosts: [other.example.com]\n  gateways",
            "a name that is not let in",
        ),
        ("kind: Gateway", "kind: Sidecar", "an object that nobody reads"),
        (
            "networking.istio.io/v1\nkind: VirtualService",
            "networking.istio.io/v1alpha3\nkind: VirtualService",
            "an old version",
        ),
        ("exact: green", "prefix: green", "a way to match that we do not use"),
        ("simple: LEAST_REQUEST", "simple: PASSTHROUGH", "a balancing that we do not use"),
        ("appProtocol: http", "appProtocol: tcp", "a port without routes"),
    ] {
        assert!(whole.contains(what), "{what}");
        assert!(Mesh::read(&whole.replace(what, instead)).is_err(), "{why}");
    }
}
