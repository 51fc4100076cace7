//! In the place of `contract` in the binaries of `make verify`: there nobody compares what pods send with the documents.
//! The suite does, with the same pods; here only figures and times are new.

use serde_json::Value;

use crate::world::Answer;

pub(crate) fn frame(_: &Value) {}

pub(crate) fn close(_: u16, _: &str) {}

pub(crate) fn answer(_: &[u8], _: &Answer) {}
