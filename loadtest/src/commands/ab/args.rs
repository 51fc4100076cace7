//! The flags of the A/B.

use std::path::PathBuf;

use clap::Args;

use crate::commands::local::FleetArgs;

/// The shape of the A/B.
#[derive(Debug, Clone, Args)]
#[command(mut_arg("pods", |pods| pods.default_value("4")))]
pub struct AbArgs {
    /// What is started.
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// Streams that are posted to
    #[arg(long, default_value_t = 200, value_name = "S", value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub streams: u32,
    /// Of these, streams with viewers: the same on every pod
    #[arg(long, default_value_t = 10, value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    pub watched: u32,
    /// Viewers, spread evenly over the pods and the watched streams
    #[arg(long, default_value_t = 400, value_name = "N")]
    pub viewers: u32,
    /// Comments a second in each stream
    #[arg(long, default_value_t = 20.0, value_name = "R")]
    pub rate: f64,
    /// How long to post, in seconds, each time
    #[arg(long, default_value_t = 18.0, value_name = "T")]
    pub seconds: f64,
    /// How often each way is measured
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=99))]
    pub rounds: u16,
    /// A pod's program that hears everything [default: it is built, into a folder of its own beside this program's]
    #[arg(long, value_name = "PATH")]
    pub hearing_pod: Option<PathBuf>,
    /// Pins the tester to this CPU
    #[arg(long, value_name = "CPU")]
    pub cpu: Option<u16>,
    /// Writes the report to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
