//! Fanfare.
pub mod domain;
pub mod hub;
pub mod protocol;
pub mod readiness;
pub mod shards;
pub mod shutdown;
pub mod telemetry;
