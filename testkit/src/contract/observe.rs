//! Every frame and every answer that any test of the suite gets is checked here, and noted.

use std::{cell::RefCell, collections::BTreeSet, sync::LazyLock};

use jsonschema::Draft;
use serde_json::Value;

use super::documents::{Document, elements, escape, members};
use crate::Answer;

/// What goes over a viewer's socket.
pub static SOCKET: LazyLock<Document> = LazyLock::new(|| {
    Document::read("asyncapi.yaml", include_str!("../../../docs/asyncapi.yaml"), Draft::Draft7)
});
/// What goes over HTTP.
pub static REST: LazyLock<Document> = LazyLock::new(|| {
    Document::read("openapi.yaml", include_str!("../../../docs/openapi.yaml"), Draft::Draft202012)
});

/// Headers of the connection, which the server's HTTP library and the route's layers set everywhere.
const OF_THE_CONNECTION: [&str; 9] = [
    "connection",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "transfer-encoding",
    // Every answer to a call that pages may make has these.
    "access-control-allow-origin",
    "access-control-expose-headers",
    "vary",
];

thread_local! {
    /// What this thread's test saw: parts of the documents. A test on one thread sees only its own.
    static SEEN: RefCell<Option<BTreeSet<String>>> = RefCell::default();
}

/// From here on, what this thread's test sees is noted.
pub fn begin() {
    assert!(*super::IS_OBSERVED, "only the suite is observed");
    SEEN.with_borrow_mut(|seen| *seen = Some(BTreeSet::new()));
}

/// What this thread's test saw since it began.
pub fn seen() -> BTreeSet<String> {
    SEEN.take().expect("begin was called")
}

fn note(part: &str) {
    SEEN.with_borrow_mut(|seen| seen.iter_mut().for_each(|seen| _ = seen.insert(part.to_owned())));
}

fn check(document: &Document, schema: &str, instance: &Value) {
    if let Some(faults) = document.faults(schema, instance) {
        panic!("{instance} is not as {schema} says: {faults}");
    }
    SEEN.with_borrow_mut(|seen| {
        if let Some(seen) = seen {
            document.walk(schema, Some(instance), seen);
        }
    });
}

/// A text frame from the server has a schema, and is as it says.
pub fn frame(json: &Value) {
    let kind = json["type"].as_str().unwrap_or_else(|| panic!("a frame without a type: {json}"));
    let message = format!("/components/messages/{}", escape(kind));
    assert!(SOCKET.root.pointer(&message).is_some(), "docs/asyncapi.yaml has no message {kind:?}: {json}");
    check(&SOCKET, &format!("{message}/payload"), json);
    note(&SOCKET.part(&message));
}

/// A message that a viewer sends as the document says.
pub fn sent(json: &Value) {
    frame(json);
}

/// A close from the server with a code of its own has a row; the reason is noted with it.
pub fn close(code: u16, reason: &str) {
    note(&closed(code, reason));
}

fn closed(code: impl std::fmt::Display, reason: &str) -> String {
    SOCKET.part(&format!("close {code} {reason}"))
}

/// An answer has a schema, and is as it says.
pub fn answer(request: &[u8], answer: &Answer) {
    let line =
        String::from_utf8_lossy(request.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let response = response(method, target, answer);
    let place = REST.resolved(&response);
    headers(&place, answer, &line);
    if !answer.body.is_empty() {
        body(&place, answer, &line);
    }
    note(&REST.part(&response));
    note(&REST.part(&place));
}

/// The place of the response in the document.
fn response(method: &str, target: &str, answer: &Answer) -> String {
    match answer.status {
        400 | 431 if answer.body.is_empty() && method != "HEAD" => "/components/responses/NoHttp".to_owned(),
        404 => "/components/responses/NotFound".to_owned(),
        405 => "/components/responses/MethodNotAllowed".to_owned(),
        status => {
            let method = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
            let documented = members(&REST.root["paths"])
                .find(|(template, _)| matches(template, target))
                .map(|(template, _)| format!("/paths/{}/{method}/responses/{status}", escape(template)))
                .filter(|response| REST.root.pointer(response).is_some());
            documented.unwrap_or_else(|| {
                panic!("docs/openapi.yaml has no {status} for {method} {target}: {answer:?}")
            })
        }
    }
}

fn matches(template: &str, target: &str) -> bool {
    // In absolute form it names the server, too.
    let path = target.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    let path = path.unwrap_or(target).split('?').next().unwrap_or_default();
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(&path).all(|(wanted, given)| wanted.starts_with('{') || wanted == given)
}

fn headers(response: &str, answer: &Answer, line: &str) {
    let documented = &REST.at(response)["headers"];
    for (name, header) in members(documented) {
        let value = answer.header(&name.to_lowercase());
        assert!(value.is_some() || header["required"] != true, "{line:?} lacks {name}: {answer:?}");
        if let Some(value) = value {
            let place = format!("{response}/headers/{name}");
            check(&REST, &format!("{place}/schema"), &value.into());
            note(&REST.part(&place));
        }
    }
    let known = |name: &str| members(documented).any(|(known, _)| known.eq_ignore_ascii_case(name));
    for name in answer.names() {
        assert!(OF_THE_CONNECTION.contains(&name) || known(name), "{name} is not in {response}: {answer:?}");
    }
}

fn body(response: &str, answer: &Answer, line: &str) {
    let of_type = answer.header("content-type").unwrap_or_default();
    let content = format!("{response}/content/{}", escape(of_type));
    assert!(REST.root.pointer(&content).is_some(), "{line:?}: {of_type:?} is not in {response}: {answer:?}");
    if of_type.ends_with("json") {
        check(&REST, &format!("{content}/schema"), &answer.json());
    }
}

/// Everything that the documents say can be seen.
pub fn promised() -> BTreeSet<String> {
    let mut parts = BTreeSet::new();
    for (name, _) in members(&SOCKET.root["components"]["messages"]) {
        let message = format!("/components/messages/{name}");
        SOCKET.walk(&format!("{message}/payload"), None, &mut parts);
        parts.insert(SOCKET.part(&message));
    }
    for row in elements(&SOCKET.root["channels"]["watch"]["x-close-codes"]) {
        parts.insert(closed(&row["code"], row["reason"].as_str().unwrap()));
    }
    let mut responses: Vec<_> = members(&REST.root["components"]["responses"])
        .map(|(name, _)| format!("/components/responses/{name}"))
        .collect();
    for (path, item) in members(&REST.root["paths"]) {
        for (method, operation) in members(item) {
            let of_status = members(&operation["responses"]).map(|(status, _)| status);
            responses.extend(
                of_status.map(|status| format!("/paths/{}/{method}/responses/{status}", escape(path))),
            );
        }
    }
    for response in responses {
        let place = REST.resolved(&response);
        parts.extend(
            members(&REST.at(&place)["headers"])
                .map(|(name, _)| REST.part(&format!("{place}/headers/{name}"))),
        );
        for (of_type, _) in members(&REST.at(&place)["content"]) {
            REST.walk(&format!("{place}/content/{}/schema", escape(of_type)), None, &mut parts);
        }
        parts.insert(REST.part(&response));
    }
    parts
}
