//! Integration tests: the real binary, real sockets.
fn main() {}
