//! HTTP/2 on the public listener behind TLS: viewers as streams of one connection (RFC 8441), beside requests.
//!
//! That watching is the same over it is shown by the tests of that, which run on this backend too.

mod connections;
mod handshakes;
mod leaving;
