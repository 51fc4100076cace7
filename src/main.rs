//! Fanfare binary.
fn main() {}
