//! The flags of a run, with their units and defaults.

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Parser};

use super::events::Events;
use crate::check::slo::SloArgs;

/// What may be tolerated.
pub(crate) const TOLERABLE: [&str; 8] =
    ["refused", "dropped", "unanswered", "signalled", "errors", "stuck", "late", "late joins"];

/// The shape of one run; of a flag that is given twice the last one counts.
#[derive(Debug, Clone, Args)]
#[command(args_override_self = true)]
pub struct RunArgs {
    /// The server, ws://host:port, or wss:// with TLS (http:// and https:// are the same); repeat it for several pods,
    /// and viewers are spread over them
    #[arg(long, required = true, value_name = "URL")]
    pub url: Vec<String>,
    /// The authorities to trust behind wss:// and https://, a PEM file [default: those of this system]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The ops listener of a pod, http://host:port or https://, that is asked for the pod's build; may be repeated
    #[arg(long, value_name = "URL")]
    pub ops: Vec<String>,
    /// Viewers that listen
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub viewers: u32,
    /// Streams that are posted to
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub streams: u32,
    /// Viewers are spread over this many of the streams only [default: all]
    #[arg(long, value_name = "S")]
    pub watched: Option<u32>,
    /// Comments a second in each stream
    #[arg(long, default_value_t = 1.0, value_name = "R")]
    pub rate: f64,
    /// How long to post, in seconds
    #[arg(long, default_value_t = 10.0, value_name = "T")]
    pub seconds: f64,
    /// Bytes of each body (44 to 500; the first 44 are the tester's mark)
    #[arg(long, default_value_t = 200, value_name = "B")]
    pub body_bytes: u16,
    /// Extra viewers that never read again after the handshake; the server should cut them
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub stuck: u32,
    /// Extra viewers that drop their connection and resume
    #[arg(long, default_value_t = 0, value_name = "M")]
    pub resumers: u32,
    /// How often each resumer does so
    #[arg(long, default_value_t = 3, value_name = "X")]
    pub resume_times: u32,
    /// Posts through REST instead of WebSocket posters
    #[arg(long)]
    pub rest: bool,
    /// Posts through REST go to this server instead, of the form of --url; may be repeated
    #[arg(long, value_name = "URL")]
    pub rest_url: Vec<String>,
    /// Keep-alive connections that REST posts are spread over
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub rest_connections: u32,
    /// WebSocket posters for each stream; each is a checked viewer as well
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub posters: u32,
    /// Gifts a second in each stream, through REST
    #[arg(long, default_value_t = 0.0, value_name = "G")]
    pub gifts_per_second: f64,
    /// Viewers resume when the server drops or moves them, instead of leaving
    #[arg(long)]
    pub reconnect: bool,
    /// Addresses, processes, threads.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Deadlines.
    #[command(flatten)]
    pub time: TimeArgs,
    /// Does not count these as failures: refused, dropped, unanswered, signalled, errors, stuck, late, late joins
    #[arg(long, value_delimiter = ',', value_name = "WHAT")]
    pub tolerate: Vec<String>,
    /// A header for every request, `Name: value`; may be repeated
    #[arg(long, value_name = "HEADER")]
    pub header: Vec<String>,
    /// Streams are named PREFIX-RUN-NUMBER
    #[arg(long, default_value = "load", value_name = "PREFIX")]
    pub stream_prefix: String,
    /// What counts as good enough.
    #[command(flatten)]
    pub slo: SloArgs,
    /// Writes the report to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes the report to this file as one page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Writes page and JSON into this folder, named by date and scenario
    #[arg(long, value_name = "FOLDER")]
    pub reports: Option<PathBuf>,
    /// The shape of the load from a file; flags override what it says
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// What happens during the posting: only a scenario says that.
    #[arg(skip)]
    pub events: Events,
    /// The scenario's name.
    #[arg(skip)]
    pub name: String,
}

/// The flags of a run, apart from any command.
#[derive(Debug, Parser)]
struct RunFlags {
    #[command(flatten)]
    run: RunArgs,
}

impl RunArgs {
    /// Reads flags as `run` takes them, parted by spaces.
    pub(crate) fn of_flags(flags: &str) -> Result<Self, clap::Error> {
        let words = std::iter::once("loadtest").chain(flags.split_whitespace());
        RunFlags::try_parse_from(words).map(|flags| flags.run)
    }
}

/// What of this machine is used, and watched.
#[derive(Debug, Clone, Args)]
pub struct MachineArgs {
    /// Source addresses; each adds about 28,000 ports [default: for loopback targets as many of 127.0.0.0/8 as needed]
    #[arg(long, value_delimiter = ',', value_name = "IP")]
    pub sources: Vec<IpAddr>,
    /// Server processes whose CPU and memory are measured; may be repeated
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,
    /// Redis processes whose CPU and memory are measured, apart from the servers'; may be repeated
    #[arg(long, value_name = "PID")]
    pub redis_pid: Vec<u32>,
    /// Processes of the tester [default: as many as the limit of open files asks for]
    #[arg(long, value_name = "N")]
    pub processes: Option<u16>,
    /// Threads of each process of the tester
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: u16,
    /// Pins the tester to this CPU
    #[arg(long, value_name = "CPU")]
    pub cpu: Option<u16>,
}

/// How long to wait for what.
#[derive(Debug, Clone, Args)]
pub struct TimeArgs {
    /// After the last post, wait at most this long for what is still missing
    #[arg(long, default_value_t = 5000, value_name = "MS")]
    pub window_ms: u64,
    /// Idle time with all viewers before the posting, for the measure of memory
    #[arg(long, default_value_t = 1000, value_name = "MS")]
    pub idle_ms: u64,
    /// Deadline of one handshake, `hello` included
    #[arg(long, default_value_t = 5000, value_name = "MS")]
    pub handshake_ms: u64,
    /// Deadline of all joins together
    #[arg(long, default_value_t = 120_000, value_name = "MS")]
    pub joins_ms: u64,
    /// Handshakes at once
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub in_flight: u32,
    /// Deadline of one REST request
    #[arg(long, default_value_t = 5000, value_name = "MS")]
    pub request_ms: u64,
}
