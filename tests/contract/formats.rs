//! The documents themselves: their formats, their examples, and what they say that the code says too.

use std::{collections::BTreeSet, fs, path::Path};

use fanfare::protocol::{Advice, Close, Code, SUBPROTOCOL};
use jsonschema::Draft;
use serde_json::{Value, json};
use testkit::contract::{
    documents::{Document, elements, escape, members},
    observe::{REST, SOCKET},
};

fn assert_of_format(document: &Document, schema: &str, draft: Draft) {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::options().with_draft(draft).build(&schema).unwrap();
    let faults: Vec<_> = validator
        .iter_errors(&document.root)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "docs/{}: {faults:#?}", document.name);
}

/// Issue 4: AsyncAPI 3 and OpenAPI 3.1, as the official schemas of these formats say.
#[test]
fn the_documents_are_of_their_formats() {
    assert_of_format(&SOCKET, include_str!("specs/asyncapi-3.0.0.json"), Draft::Draft7);
    assert_of_format(&REST, include_str!("specs/openapi-3.1.json"), Draft::Draft202012);
    let of = |document: &Document, field: &str| document.root[field].as_str().unwrap().to_owned();
    assert_eq!((of(&SOCKET, "asyncapi"), of(&REST, "openapi")), ("3.0.0".into(), "3.1.0".into()));
}

/// Calls back for every schema that has examples, wherever it stands: its place, and the examples.
fn examples(place: &str, value: &Value, found: &mut dyn FnMut(String, Vec<Value>)) {
    let has_schema = value["schema"].is_object();
    let named = members(&value["examples"]).map(|(_, example)| example["value"].clone());
    let given: Vec<_> = value.get("example").cloned().into_iter().chain(named).collect();
    if has_schema && !given.is_empty() {
        found(format!("{place}/schema"), given);
    }
    if value["payload"].is_object() {
        let payloads = elements(&value["examples"]).map(|example| example["payload"].clone());
        found(format!("{place}/payload"), payloads.collect());
    } else if value["examples"].is_array() && (!value["type"].is_null() || !value["enum"].is_null()) {
        found(place.to_owned(), elements(&value["examples"]).cloned().collect());
    }
    for (name, member) in members(value).filter(|(name, _)| !["example", "examples"].contains(&name.as_str()))
    {
        examples(&format!("{place}/{}", escape(name)), member, found);
    }
    for (number, element) in elements(value).enumerate() {
        examples(&format!("{place}/{number}"), element, found);
    }
}

/// Each example is valid by its own schema, and each message has one.
#[test]
fn every_example_is_valid() {
    for (document, least) in [(&SOCKET, 25), (&REST, 40)] {
        let mut checked = 0;
        examples("", &document.root, &mut |schema, given| {
            assert!(!given.is_empty(), "{schema} has no example");
            for example in given {
                assert_eq!(document.faults(&schema, &example), None, "{schema}: {example}");
                checked += 1;
            }
        });
        assert!(checked >= least, "docs/{}: {checked} examples", document.name);
    }
}

/// The table of closes is the same in the code and in the document.
#[test]
fn close_codes_are_those_of_the_code() {
    let advice = |close: Close| match close.advice() {
        Advice::Reconnect => "reconnect",
        Advice::Renew => "renew",
        Advice::Stop => "stop",
    };
    let coded = Close::ALL.map(|close| (json!(close.code()), json!(close.reason()), json!(advice(close))));
    let rows = &SOCKET.root["channels"]["watch"]["x-close-codes"];
    let documented: Vec<_> = elements(rows)
        .map(|row| (row["code"].clone(), row["reason"].clone(), row["advice"].clone()))
        .collect();
    assert_eq!(documented, coded);
    assert!(elements(rows).all(|row| row["when"].as_str().is_some_and(|when| !when.is_empty())));
}

/// The codes of errors are the same in the code and in the documents, in the schemas as in the tables for readers.
#[test]
fn error_codes_are_those_of_the_code() {
    let names = |list: &Value| -> BTreeSet<String> {
        elements(list).map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let by_socket = names(SOCKET.at("/components/messages/error/payload/properties/code/enum"));
    let by_rest = names(REST.at("/components/schemas/Problem/properties/code/enum"));
    let coded: BTreeSet<_> = Code::ALL.iter().map(|code| json!(code).as_str().unwrap().to_owned()).collect();
    assert_eq!(by_socket.union(&by_rest).cloned().collect::<BTreeSet<_>>(), coded);
    for (document, codes) in [(&SOCKET, by_socket), (&REST, by_rest)] {
        let description = document.root["info"]["description"].as_str().unwrap();
        let row = |line: &str| Some(line.strip_prefix("| `")?.split_once("` |")?.0.to_owned());
        let told: BTreeSet<_> =
            description.lines().filter_map(row).filter(|name| coded.contains(name)).collect();
        assert_eq!(told, codes, "docs/{}", document.name);
    }
}

/// The routes are the same in the code and in the document.
#[test]
fn routes_are_those_of_the_code() {
    let mut coded = BTreeSet::new();
    for file in ["src/http/mod.rs", "src/http/ops.rs"] {
        let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        for route in source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
            let (path, methods) = route.split_once('"').unwrap();
            let called = |name: &str| methods.contains(&format!("{name}("));
            for (name, method) in
                [("get", "get"), ("any", "get"), ("post", "post"), ("put", "put"), ("delete", "delete")]
            {
                if called(name) {
                    coded.insert(format!("{method} {path}"));
                }
            }
        }
    }
    let operations = |(path, item): (&String, &Value)| -> Vec<String> {
        let methods =
            members(item).filter(|(name, _)| !["parameters", "servers", "options"].contains(&name.as_str()));
        methods.map(|(method, _)| format!("{method} {path}")).collect()
    };
    let documented: BTreeSet<_> = members(&REST.root["paths"]).flat_map(operations).collect();
    assert_eq!(documented, coded);
}

/// A handshake is described twice, for viewers and among the routes, in the same way.
#[test]
fn the_handshake_is_the_same_in_both_documents() {
    let watch = &REST.root["paths"]["/v1/streams/{stream}/watch"]["get"];
    let general = [("405", "MethodNotAllowed"), ("431", "NoHttp")];
    let mut by_status: BTreeSet<String> =
        members(&watch["responses"]).map(|(status, _)| status.clone()).collect();
    by_status.extend(general.map(|(status, _)| status.to_owned()));
    let channel = &SOCKET.root["channels"]["watch"];
    let rows: BTreeSet<_> = elements(&channel["x-handshake"]).map(|row| row["status"].to_string()).collect();
    assert_eq!(rows, by_status);
    for row in elements(&channel["x-handshake"]) {
        let status = row["status"].to_string();
        let shared = general.iter().find(|(of, _)| *of == status);
        let response = shared.map_or_else(
            || {
                let route = escape("/v1/streams/{stream}/watch");
                REST.at(&REST.resolved(&format!("/paths/{route}/get/responses/{status}"))).clone()
            },
            |(_, name)| REST.root["components"]["responses"][*name].clone(),
        );
        let names =
            |value: &Value| -> BTreeSet<String> { members(value).map(|(name, _)| name.clone()).collect() };
        assert_eq!(names(&row["headers"]), names(&response["headers"]), "{status}");
    }
    let parameters = |kind: &str| -> BTreeSet<String> {
        let of_kind = elements(&watch["parameters"]).filter(|parameter| parameter["in"] == kind);
        of_kind.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
    };
    let bound = |kind: &str| -> BTreeSet<String> {
        let properties = &channel["bindings"]["ws"][kind]["properties"];
        members(properties).map(|(name, _)| name.clone()).filter(|name| name != "Host").collect()
    };
    assert_eq!((bound("query"), bound("headers")), (parameters("query"), parameters("header")));
    let offered =
        &channel["bindings"]["ws"]["headers"]["properties"]["Sec-WebSocket-Protocol"]["examples"][0];
    assert_eq!(offered, SUBPROTOCOL);
}
