//! Clients of a pod, down to the byte: WebSocket, HTTP/1.1, HTTP/2 and TLS.

pub(crate) mod http;
mod http2;
mod peer;
pub(crate) mod private;
mod raw;
mod throttle;
mod viewer;

pub use http::{Answer, exchange, get, post, request, request_of_other, try_request};
pub use http2::Http2;
pub use peer::{Heard, Peer};
pub use private::{Authority, Shaken, Stream, shake, speak_tls, watch_over_http2};
pub use raw::{RawFrame, opcode};
pub use viewer::{Frame, Join, Refusal, Seen, Viewer};
