//! Istio's objects have no field that nobody knows.

use std::fs;

use serde_yaml_ng::{Mapping, Value};

use super::{object, objects, path};
use crate::mesh::{Mesh, routes};

/// The overlay's objects, as one text.
fn overlay() -> String {
    let list = object("k8s/overlays/istio/kustomization.yaml");
    let files = list["resources"].as_sequence().unwrap();
    let read =
        |file: &Value| fs::read_to_string(path("k8s/overlays/istio").join(file.as_str().unwrap())).unwrap();
    files.iter().map(read).collect::<Vec<_>>().join("\n---\n")
}

/// The routes that the manifests mean: the header and the query first, then everybody, who are on blue.
#[test]
fn a_header_or_the_query_leads_to_green_and_everything_else_to_blue() {
    let routes = routes(&Mesh::read(&overlay()).unwrap());
    let routes = routes["virtual_hosts"][0]["routes"].as_array().unwrap();
    let of = |track: &str| {
        let exact = |name: &str| serde_json::json!([{"name": name, "string_match": {"exact": track}}]);
        let leads = |route: &&serde_json::Value| {
            route["route"]["cluster"] == format!("outbound|8080|{track}|fanfare")
        };
        let found: Vec<_> = routes.iter().filter(leads).collect();
        assert_eq!(found[0]["match"]["headers"], exact("x-fanfare-track"), "{found:?}");
        assert_eq!(found[1]["match"]["query_parameters"], exact("track"), "{found:?}");
        found.len()
    };
    assert_eq!((of("green"), of("blue")), (2, 3));
    let everybody = routes.last().unwrap();
    assert_eq!(everybody["match"], serde_json::json!({"prefix": "/"}));
    assert_eq!(everybody["route"]["cluster"], "outbound|8080|blue|fanfare");
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
