//! How fast lanes are without sockets: what a delivery costs besides the kernel, and whether two lanes get in each
//! other's way.
//!
//! ```text
//! cargo bench --bench hub
//! ```
//!
//! Each lane runs on a thread of its own, pinned to a CPU of its own where the machine lets us. A seat's end takes
//! everything at once. The next comments are put on the tape while the lanes still write the last ones, so that they
//! are never idle and never gather more than is asked for. Every figure is a row of a Markdown table: the median of five
//! rounds, and their range. Rounds with one lane and with two take turns, so that both see the same machine.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a tool for people")]

use std::{
    fs,
    io::{self, IoSlice},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fanfare::{
    domain::StreamId,
    hub::{Drained, Fanout, Hub, Item, Lane, Nudge, Outlet, Seat},
    protocol::Entry,
    telemetry::Sli,
};
use tokio::{runtime::Builder, sync::Notify};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1_500);

/// Takes everything. What it counts is its own, like a socket's buffer.
#[derive(Default)]
struct Taker(AtomicU64);

impl Outlet for Taker {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes = slices.iter().map(|slice| slice.len()).sum::<usize>();
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

struct Unheard;

impl Nudge for Unheard {
    fn nudge(&self, _: &StreamId) {}
}

/// What is measured: so many seats, and so many comments a flush. A walk over the seats is to take about a millisecond:
/// the thread that posts shares the lanes' CPUs, and must be in time with the next flush.
#[derive(Clone, Copy)]
struct Shape {
    seats: usize,
    comments: u64,
}

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    println!("| hub without sockets | figure | target |\n|---|---|---|");
    for (what, shape) in [
        ("40,000 seats, a comment a flush", Shape { seats: 40_000, comments: 1 }),
        ("10,000 seats, 20 comments a flush", Shape { seats: 10_000, comments: 20 }),
    ] {
        let rounds: Vec<_> = (0..ROUNDS).map(|_| (rate(shape, 1), rate(shape, 2))).collect();
        row(
            &format!("{what}, one lane"),
            "million deliveries/s",
            "–",
            rounds.iter().map(|(one, _)| one / 1e6),
        );
        row(
            &format!("{what}, two lanes"),
            "million deliveries/s",
            "–",
            rounds.iter().map(|(_, two)| two / 1e6),
        );
        row(&format!("{what}, two lanes to one"), "×", "≥ 1.7", rounds.iter().map(|(one, two)| two / one));
    }
}

/// Deliveries a second in one round.
fn rate(shape: Shape, lanes: usize) -> f64 {
    let sli = Sli::default();
    let (hub, lanes) = Hub::new(Fanout::new(lanes, Duration::ZERO), Unheard, sli.clone());
    let end = Arc::new(Notify::new());
    let threads: Vec<_> = lanes
        .into_iter()
        .enumerate()
        .map(|(cpu, lane)| {
            let end = Arc::clone(&end);
            thread::spawn(move || run(lane, cpu, &end))
        })
        .collect();
    let id: StreamId = "bench".parse().unwrap();
    let seats = crowd(&hub, &id, shape.seats);
    let deliveries = drive(&hub, &id, shape, &sli);
    // A permit each: a lane that is not waiting yet finds its own.
    threads.iter().for_each(|_| end.notify_one());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    drop(seats);
    deliveries
}

/// Puts comments on the tape as fast as the lanes take them; returns the deliveries a second.
fn drive(hub: &Hub, id: &StreamId, shape: Shape, sli: &Sli) -> f64 {
    let each = shape.seats as u64 * shape.comments;
    let began = Instant::now();
    let mut flushes = 0;
    while began.elapsed() < ROUND {
        let seqs = flushes * shape.comments + 1..=(flushes + 1) * shape.comments;
        hub.deliver(id, seqs.map(|seq| Item::comment(&entry(seq))));
        flushes += 1;
        // One flush ahead of what is written.
        wait_until(|| sli.counts().deliveries + each >= flushes * each);
    }
    wait_until(|| sli.counts().deliveries >= flushes * each);
    (flushes * each) as f64 / began.elapsed().as_secs_f64()
}

fn wait_until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "the lanes are stuck");
        thread::park_timeout(Duration::from_micros(20));
    }
}

fn run(lane: Lane, cpu: usize, end: &Notify) {
    pin(cpu);
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        tokio::select! {
            () = lane.run() => {}
            () = end.notified() => {}
        }
    });
}

/// Pins this thread to a CPU; without that the figures are somewhat less steady.
fn pin(cpu: usize) {
    let thread = fs::read_link("/proc/thread-self").unwrap();
    let tid = thread.file_name().unwrap().to_string_lossy().into_owned();
    let args = ["-c", "-p", &cpu.to_string(), &tid];
    let _ = Command::new("taskset").args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

fn crowd(hub: &Hub, id: &StreamId, seats: usize) -> Vec<Seat> {
    let sit = || hub.sit(id, Arc::<Taker>::default());
    let seats: Vec<_> = std::iter::repeat_with(sit).take(seats).collect();
    hub.open(id, entry(1).before(), []);
    for seat in &seats {
        seat.enter(seat.opening().unwrap().end);
        assert_eq!(seat.drain(tokio::time::Instant::now()), Drained::All);
    }
    seats
}

/// A comment of about 200 bytes.
fn entry(seq: u64) -> Entry {
    let id = |seq: u64| if seq == 0 { "~".to_owned() } else { format!("bench{seq:011}") };
    let (this, previous, body) = (id(seq), id(seq - 1), "x".repeat(120));
    let line = format!("1 1 benchmrk {seq} {this} {previous} 1700000000000 1700000000000 comment\n");
    let author = r#"{"id":"u1","name":"Ann"}"#;
    let fragment = format!(r#""id":"{this}","kind":"comment","author":{author},"body":"{body}""#);
    Entry::decode(&format!("{line}{fragment}").into()).unwrap()
}

/// Prints a figure of all rounds as a row.
fn row(what: &str, unit: &str, target: &str, rounds: impl Iterator<Item = f64>) {
    let mut rounds: Vec<f64> = rounds.collect();
    rounds.sort_by(f64::total_cmp);
    let (least, middle, most) = (rounds[0], rounds[rounds.len() / 2], rounds[rounds.len() - 1]);
    println!("| {what} | {middle:.2} {unit} ({least:.2} to {most:.2}) | {target} |");
}
