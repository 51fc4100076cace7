//! The ways between clients, pods and shards, and what goes wrong on them.

mod hoard;
mod names;
mod relay;
mod silent;

pub use hoard::Hoard;
pub use names::Name;
pub use relay::{Direction, Fault, Relay};
pub use silent::Silent;
