//! docs/asyncapi.yaml and docs/openapi.yaml against the running server, both ways.
//!
//! No frame without a schema: testkit shows every frame and every answer that any test gets to [`observe`], and what has
//! no schema, or has a field that its schema does not know, fails the test that got it. No schema without a frame: the
//! tests here make the server send everything that the documents list, and fail with the names of what did not come.

mod answers;
mod bad_shards;
mod formats;
mod frames;
mod limits;

use std::collections::BTreeSet;

use testkit::contract::{documents::Document, observe};

/// Fails with the names of all that one document promises and this test did not see.
fn assert_all_seen(document: &Document, unseen: &[&str]) {
    let of_it = |part: &String| part.starts_with(document.name);
    let promised: BTreeSet<_> = observe::promised().into_iter().filter(of_it).collect();
    assert!(promised.len() > 50, "the document is read");
    let seen = observe::seen();
    let never: Vec<_> =
        promised.iter().filter(|part| !seen.contains(*part) && !unseen.contains(&part.as_str())).collect();
    assert!(never.is_empty(), "docs/{} promises what was not seen: {never:#?}", document.name);
}
