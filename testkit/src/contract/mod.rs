//! docs/asyncapi.yaml and docs/openapi.yaml, and the frames and answers that are held against them.
//!
//! Every frame and every answer that any test of the suite gets is shown to [`observe`]; one that has no schema, or a
//! field that its schema does not know, fails the test that got it. In other binaries nothing is compared: they measure
//! the same pods at their real times, where a validator on the same processors would be in the way.

pub mod documents;
pub mod observe;

use std::sync::LazyLock;

use serde_json::Value;

use crate::{Answer, program};

/// Whether the running test belongs to the suite.
static IS_OBSERVED: LazyLock<bool> = LazyLock::new(|| program::target() == "suite");

/// Shows a text frame from the server.
pub(crate) fn frame(json: &Value) {
    if *IS_OBSERVED {
        observe::frame(json);
    }
}

/// Shows a close from the server.
pub(crate) fn close(code: u16, reason: &str) {
    if *IS_OBSERVED {
        observe::close(code, reason);
    }
}

/// Shows an answer from the server to a request.
pub(crate) fn answer(request: &[u8], answer: &Answer) {
    if *IS_OBSERVED {
        observe::answer(request, answer);
    }
}
