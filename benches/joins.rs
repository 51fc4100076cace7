//! What a join costs: handshake, `hello` and twenty comments of history, on a stream that others watch already.
//!
//! ```text
//! cargo bench --bench joins
//! ```
//!
//! A pod on CPU 0, this process on CPU 1: 5,000 viewers join with 256 handshakes under way at a time. The pod's CPU for
//! a join is what its process used for all of them. Every figure is a row of a Markdown table: the median of three
//! rounds, and their range.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a tool for people")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use testkit::process;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Builder,
    sync::Semaphore,
    task::JoinSet,
};

const ROUNDS: usize = 3;
const JOINS: usize = 5_000;
const IN_FLIGHT: usize = 256;
const HISTORY: usize = 20;
const STREAM: &str = "/v1/streams/joins";
/// How much of the joins' time passes before a join that hangs ends the measurement.
const PATIENCE: Duration = Duration::from_secs(10);

/// A pod of its own, which ends with this.
struct Pod {
    process: Child,
    address: String,
}

impl Pod {
    fn start() -> Self {
        let mut process = Command::new("taskset")
            .args(["-c", &process::POD_CPU.to_string(), env!("CARGO_BIN_EXE_fanfare")])
            .envs([("FANFARE_LISTEN", "127.0.0.1:0"), ("FANFARE_OPS_LISTEN", "127.0.0.1:0")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.unwrap();
            Some(line.split_once("http://")?.1.split('/').next()?.to_owned())
        });
        let ready = lines.any(|line| line.unwrap().trim_start().starts_with("ready"));
        assert!(ready, "the pod did not start");
        Self { process, address: address.unwrap() }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    process::pin(std::process::id(), process::REDIS_CPU);
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|_| Builder::new_current_thread().enable_all().build().unwrap().block_on(round()))
        .collect();
    println!("| joins | figure | target |\n|---|---|---|");
    let what = format!("{JOINS} joins with {HISTORY} comments of history, {IN_FLIGHT} under way");
    row(&format!("{what}: CPU of the pod for each"), "µs", "≤ 40", rounds.iter().map(|round| round.0));
    row(&format!("{what}: p50"), "ms", "–", rounds.iter().map(|round| round.1));
    row(&format!("{what}: p99"), "ms", "≤ 60", rounds.iter().map(|round| round.2));
}

/// The pod's CPU for a join in µs, and half and 99 % of the joins' times in ms.
async fn round() -> (f64, f64, f64) {
    let pod = Pod::start();
    let address: Arc<str> = pod.address.as_str().into();
    let _watches = join(&address, "first", r#""type":"hello""#).await;
    for n in 0..HISTORY {
        post(&address, n).await;
    }
    let turns = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut joins = JoinSet::new();
    let before = process::cpu_seconds(pod.process.id());
    for n in 0..JOINS {
        let (turns, address) = (Arc::clone(&turns), Arc::clone(&address));
        joins.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let began = Instant::now();
            let socket = join(&address, &format!("v{n}"), r#""history":true"#).await;
            (began.elapsed().as_secs_f64() * 1e3, socket)
        });
    }
    let mut joined = tokio::time::timeout(PATIENCE * 3, joins.join_all()).await.unwrap();
    let cpu = process::cpu_seconds(pod.process.id()) - before;
    joined.sort_by(|a, b| a.0.total_cmp(&b.0));
    (cpu * 1e6 / JOINS as f64, joined[JOINS / 2].0, joined[JOINS * 99 / 100].0)
}

/// Joins, and reads until the viewer was told something.
async fn join(address: &str, name: &str, told: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET {STREAM}/watch?name={name} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut socket, told).await;
    socket
}

async fn post(address: &str, n: usize) {
    let body = format!(r#"{{"kind":"comment","author":{{"id":"u1","name":"Ann"}},"body":"{n:0120}"}}"#);
    let head = format!(
        "POST {STREAM}/comments HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all((head + &body).as_bytes()).await.unwrap();
    read_until(&mut socket, " 201 ").await;
}

async fn read_until(socket: &mut TcpStream, told: &str) {
    let mut bytes = Vec::with_capacity(8 * 1024);
    let all = async {
        while !bytes.windows(told.len()).any(|window| window == told.as_bytes()) {
            assert!(
                socket.read_buf(&mut bytes).await.unwrap() > 0,
                "closed: {}",
                String::from_utf8_lossy(&bytes)
            );
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
}

/// Prints a figure of all rounds as a row.
fn row(what: &str, unit: &str, target: &str, rounds: impl Iterator<Item = f64>) {
    let mut rounds: Vec<f64> = rounds.collect();
    rounds.sort_by(f64::total_cmp);
    let (least, middle, most) = (rounds[0], rounds[rounds.len() / 2], rounds[rounds.len() - 1]);
    println!("| {what} | {middle:.1} {unit} ({least:.1} to {most:.1}) | {target} |");
}
