//! The kernel's own limit: one thread writes a ready frame to many loopback sockets, in a plain loop.
//!
//! What a server costs above this is its own. The receivers are another process, so that their CPU is told apart
//! (though on loopback the sender also pays for the receiver's half of TCP).

use std::{
    fmt, io,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use clap::Args;
use rustix::{
    thread::clock_nanosleep_absolute,
    time::{ClockId, Timespec, clock_gettime},
};
use serde::Serialize;

use super::sink::SinkReport;
use crate::base::{clock::micros, proc};

/// How long all receivers have to connect.
const CONNECTING: Duration = Duration::from_secs(60);

/// What a server may put into one write.
const FRAMES_PER_WRITE: [u32; 3] = [1, 4, 16];

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

/// What the plain loop cost.
#[derive(Debug, Clone, Serialize)]
pub struct LimitReport {
    /// Sockets that were written to.
    pub sockets: u32,
    /// Frames a write.
    pub frames_per_write: u32,
    /// Bytes of a frame.
    pub frame_bytes: u32,
    /// Length of the writing.
    pub seconds: f64,
    /// Whether the sender was pinned to its CPU.
    pub pinned: bool,
    /// Frames written.
    pub deliveries: u64,
    /// Frames written a second.
    pub deliveries_per_second: f64,
    /// CPU of the sender's thread for each frame, in microseconds.
    pub cpu_us_per_delivery: f64,
    /// Share of a core.
    pub cores: f64,
    /// CPU of the receivers for each frame, in microseconds.
    pub sink_cpu_us_per_delivery: f64,
    /// Writes that the kernel refused because the socket was full.
    pub blocked: u64,
    /// Writes that it took in part.
    pub partial: u64,
    /// The latest that a round began after its time, in microseconds.
    pub late_us: u64,
}

/// Why the loop could not be measured.
#[derive(Debug)]
pub enum LimitError {
    /// The limit of open files is too low.
    OpenFiles(u64),
    /// Sockets or the receivers' process failed.
    Io(io::Error),
    /// Not all receivers connected in time.
    Receivers(u32),
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenFiles(limit) => {
                write!(f, "this process may have {limit} open files only: raise `ulimit -n`")
            }
            Self::Io(error) => error.fmt(f),
            Self::Receivers(count) => write!(f, "only {count} receivers connected in time"),
        }
    }
}

impl From<io::Error> for LimitError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Ends the receivers' process when the measure ends, however it ends.
struct Receivers(Child);

impl Drop for Receivers {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures.
///
/// # Errors
/// When the sockets cannot be had.
pub fn limit(args: &LimitArgs) -> Result<LimitReport, LimitError> {
    let limit = proc::open_files_limit();
    if u64::from(args.sockets) + 32 > limit {
        return Err(LimitError::OpenFiles(limit));
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut receivers = start_receivers(args, &listener)?;
    let pinned = proc::pin(args.cpu);
    let sockets = accept(args.sockets, &listener)?;
    let mut writer = Writer::new(args, sockets);
    let (cpu_us, started) = (proc::thread_cpu_us(), Instant::now());
    let late_us = writer.write_for(Duration::from_secs_f64(args.seconds), args);
    let (cpu_us, elapsed) = (proc::thread_cpu_us() - cpu_us, started.elapsed());
    let deliveries = writer.bytes / u64::from(args.frame_bytes);
    let (blocked, partial) = (writer.blocked, writer.partial);
    drop(writer);
    let mut said = String::new();
    receivers.0.stdout.take().map(|mut out| out.read_to_string(&mut said)).transpose()?;
    let sink: SinkReport = serde_json::from_str(&said).unwrap_or_default();
    Ok(LimitReport {
        sockets: args.sockets,
        frames_per_write: args.frames_per_write,
        frame_bytes: args.frame_bytes,
        seconds: elapsed.as_secs_f64(),
        pinned,
        deliveries,
        deliveries_per_second: ratio(deliveries * 1_000_000, micros(elapsed)),
        cpu_us_per_delivery: ratio(cpu_us, deliveries),
        cores: ratio(cpu_us, micros(elapsed)),
        sink_cpu_us_per_delivery: ratio(sink.cpu_us, deliveries),
        blocked,
        partial,
        late_us,
    })
}

/// Measures each of the usual numbers of frames a write, in one run.
///
/// # Errors
/// When the sockets cannot be had.
pub fn series(args: &LimitArgs) -> Result<Vec<LimitReport>, LimitError> {
    let each = |frames_per_write| limit(&LimitArgs { frames_per_write, ..args.clone() });
    FRAMES_PER_WRITE.into_iter().map(each).collect()
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn start_receivers(args: &LimitArgs, listener: &TcpListener) -> Result<Receivers, LimitError> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("sink").args(["--connect", &listener.local_addr()?.to_string()]);
    command.args(["--sockets", &args.sockets.to_string()]);
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if let Some(cpu) = args.sink_cpu.or((cpus > 1 && args.cpu != 1).then_some(1)) {
        command.args(["--cpu", &cpu.to_string()]);
    }
    Ok(Receivers(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?))
}

fn accept(count: u32, listener: &TcpListener) -> Result<Vec<TcpStream>, LimitError> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + CONNECTING;
    let mut sockets = Vec::with_capacity(count as usize);
    while sockets.len() < count as usize {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(true)?;
                socket.set_nodelay(true)?;
                sockets.push(socket);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if Instant::now() > deadline {
                    return Err(LimitError::Receivers(u32::try_from(sockets.len()).unwrap_or(count)));
                }
                pause_until(monotonic_ns() + 1_000_000);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sockets)
}

struct Writer {
    sockets: Vec<TcpStream>,
    /// The ready frames of one write.
    ready: Vec<u8>,
    bytes: u64,
    blocked: u64,
    partial: u64,
}

impl Writer {
    fn new(args: &LimitArgs, sockets: Vec<TcpStream>) -> Self {
        let ready = vec![b'x'; (args.frame_bytes * args.frames_per_write) as usize];
        Self { sockets, ready, bytes: 0, blocked: 0, partial: 0 }
    }

    /// Writes rounds over all sockets at the rate, or without pause; how late a round began at the most.
    fn write_for(&mut self, length: Duration, args: &LimitArgs) -> u64 {
        let start_ns = monotonic_ns();
        let end_ns = start_ns + micros(length) * 1000;
        let rounds_per_second = args.rate / f64::from(args.frames_per_write);
        let round = if rounds_per_second > 0.0 {
            Duration::from_secs_f64(1.0 / rounds_per_second)
        } else {
            Duration::ZERO
        };
        let round_ns = micros(round) * 1000;
        let (mut due_ns, mut late_ns) = (start_ns, 0);
        while due_ns < end_ns && monotonic_ns() < end_ns {
            if round_ns > 0 {
                pause_until(due_ns);
                late_ns = late_ns.max(monotonic_ns().saturating_sub(due_ns));
                due_ns += round_ns;
            }
            if !self.round() && round_ns == 0 {
                // Every socket is full: let the receivers run.
                std::thread::yield_now();
            }
        }
        late_ns / 1000
    }

    /// Writes to each socket once; whether any took something.
    fn round(&mut self) -> bool {
        let before = self.bytes;
        for mut socket in &self.sockets {
            match socket.write(&self.ready) {
                Ok(written) => {
                    self.bytes += written as u64;
                    self.partial += u64::from(written < self.ready.len());
                }
                // Also a receiver that is gone: it shows as fewer deliveries.
                Err(_) => self.blocked += 1,
            }
        }
        self.bytes > before
    }
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}

fn pause_until(ns: u64) {
    let part = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let until = Timespec { tv_sec: part(ns / 1_000_000_000), tv_nsec: part(ns % 1_000_000_000) };
    // A signal may end the pause early; the next round is then early by as much.
    let _ = clock_nanosleep_absolute(ClockId::Monotonic, &until);
}
