//! The protocol as a client reads and writes it, from bytes to connections.

pub mod dial;
pub mod http;
pub mod link;
pub mod mark;
pub mod scan;
pub mod stream;
pub mod tls;
pub mod wire;
