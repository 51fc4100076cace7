//! The flags of the steps.

use std::path::PathBuf;

use clap::Args;

use crate::commands::local::FleetArgs;

/// The shape of the steps.
#[derive(Debug, Clone, Args)]
pub struct CapacityArgs {
    /// What is started.
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// Viewers of the first step
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub viewers: u32,
    /// Viewers of the last step, if the objective holds so long
    #[arg(long, default_value_t = 16_000, value_name = "N")]
    pub most: u32,
    /// Streams, all of them watched
    #[arg(long, default_value_t = 10, value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    pub streams: u32,
    /// Comments a second in each stream
    #[arg(long, default_value_t = 50.0, value_name = "R")]
    pub rate: f64,
    /// How long to post at each step, in seconds
    #[arg(long, default_value_t = 8.0, value_name = "T")]
    pub seconds: f64,
    /// Of 100 deliveries 99 must come within so many milliseconds, and none may be lost
    #[arg(long, default_value_t = 200, value_name = "MS")]
    pub slo_ms: u64,
    /// How often many small streams are measured, 500 with 20 viewers each at one comment a second
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub small_rounds: u32,
    /// Pins the tester to this CPU
    #[arg(long, value_name = "CPU")]
    pub cpu: Option<u16>,
    /// Writes the report to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
