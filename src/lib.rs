//! Fanfare.
pub mod domain;
pub mod hub;
pub mod protocol;
pub mod telemetry;
