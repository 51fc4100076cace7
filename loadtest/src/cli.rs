//! The command line: flags, units and defaults.

use std::{ffi::OsString, net::IpAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{
    ab::AbArgs,
    capacity::CapacityArgs,
    events::Events,
    local::{LeashArgs, LocalArgs},
    scenario::Scenario,
};

/// The version, and the commit that the tester was built of.
pub(crate) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILD_COMMIT"), ")");

/// Open-loop load tester for Fanfare, with its own reading of the protocol.
///
/// Exit code 0: every promise held and every objective was met; 1: not, or the target did not answer or was not trusted,
/// so that nothing was measured; 2: the run could not begin (arguments, limits of this machine).
#[derive(Debug, Parser)]
#[command(name = "loadtest", version = VERSION, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Opens viewers, posts by a fixed schedule, and checks what every viewer sees
    Run(Box<RunArgs>),
    /// The same over pods and Redis shards that it starts on this machine, and ends whatever happens
    Local(Box<LocalArgs>),
    /// Compares pods that hear what is watched with pods that hear everything: CPU, memory, messages
    Ab(Box<AbArgs>),
    /// Adds viewers until the objective breaks, and tells what each thing costs
    Capacity(Box<CapacityArgs>),
    /// Measures the kernel's own limit: a plain loop of `send` over loopback sockets
    Limit(LimitArgs),
    /// The receiving side of `limit`
    #[command(hide = true)]
    Sink(SinkArgs),
    /// Becomes a server that ends with the process that started it
    #[command(hide = true)]
    Leash(LeashArgs),
    /// One of several processes of a `run`, which speaks to it through its standard input and output
    #[command(hide = true)]
    Worker,
}

/// Why there is nothing to do.
#[derive(Debug)]
pub enum Unclear {
    /// The flags are wrong, or help was asked for.
    Flags(clap::Error),
    /// The scenario file has these mistakes.
    Scenario(Vec<String>),
}

impl Cli {
    /// Reads a command line. A scenario's flags stand before those that were given, which so override them.
    ///
    /// # Errors
    /// What is wrong with it, or with the scenario file that it names.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, Unclear> {
        let words: Vec<OsString> = words.into_iter().collect();
        let first = Self::try_parse_from(&words).map_err(Unclear::Flags)?;
        let Some(args) = first.command.run() else { return Ok(first) };
        let Some(path) = &args.scenario else { return Ok(first) };
        let scenario = Scenario::read(path).map_err(Unclear::Scenario)?;
        let (head, tail) = words.split_at(words.len().min(2));
        let flags = scenario.flags.iter().map(OsString::from);
        let all = head.iter().cloned().chain(flags).chain(tail.iter().cloned());
        let mut cli = Self::try_parse_from(all).map_err(Unclear::Flags)?;
        if let Some(args) = cli.command.run_mut() {
            args.events = scenario.events;
            args.name = scenario.name;
        }
        Ok(cli)
    }
}

impl Command {
    fn run(&self) -> Option<&RunArgs> {
        match self {
            Self::Run(args) => Some(args),
            Self::Local(args) => Some(&args.run),
            _ => None,
        }
    }

    fn run_mut(&mut self) -> Option<&mut RunArgs> {
        match self {
            Self::Run(args) => Some(args),
            Self::Local(args) => Some(&mut args.run),
            _ => None,
        }
    }
}

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

/// The objectives; the exit code says whether they were met.
#[derive(Debug, Clone, Args)]
pub struct SloArgs {
    /// A delivery is in time within so many milliseconds of the post's scheduled time
    #[arg(long, default_value_t = 200, value_name = "MS")]
    pub slo_deliver_ms: u64,
    /// The share of deliveries that must be in time
    #[arg(long, default_value_t = 0.99, value_name = "SHARE")]
    pub slo_deliver_share: f64,
    /// A join is in time within so many milliseconds
    #[arg(long, default_value_t = 500, value_name = "MS")]
    pub slo_join_ms: u64,
    /// The share of joins that must be in time
    #[arg(long, default_value_t = 0.99, value_name = "SHARE")]
    pub slo_join_share: f64,
    /// So many lost deliveries are let pass
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub slo_lost: u64,
    /// So many duplicates are let pass
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub slo_duplicates: u64,
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

/// The plain loop.
#[derive(Debug, Clone, Args)]
pub struct LimitArgs {
    /// Loopback sockets that are written to
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub sockets: u32,
    /// Frames a second for each socket; 0 writes as fast as it goes
    #[arg(long, default_value_t = 50.0, value_name = "R")]
    pub rate: f64,
    /// How long to write, in seconds
    #[arg(long, default_value_t = 10.0, value_name = "T")]
    pub seconds: f64,
    /// Frames that go out in one write
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub frames_per_write: u32,
    /// Measures 1, 4 and 16 frames a write one after the other, and prints one table
    #[arg(long, conflicts_with = "frames_per_write")]
    pub table: bool,
    /// Bytes of each frame
    #[arg(long, default_value_t = 300, value_name = "B", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub frame_bytes: u32,
    /// Pins the sender to this CPU, if the system lets it
    #[arg(long, default_value_t = 0, value_name = "CPU")]
    pub cpu: u16,
    /// Pins the receivers to this CPU [default: 1 where there is one]
    #[arg(long, value_name = "CPU")]
    pub sink_cpu: Option<u16>,
    /// Writes the figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// The receivers.
#[derive(Debug, Args)]
pub struct SinkArgs {
    /// The sender's listener, 127.0.0.1:port
    #[arg(long)]
    pub connect: std::net::SocketAddr,
    /// Sockets to open
    #[arg(long)]
    pub sockets: u32,
    /// Pins the receivers to this CPU
    #[arg(long)]
    pub cpu: Option<u16>,
}
