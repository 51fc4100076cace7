//! A `redis-server` process as a shard.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use serde::Serialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{
    child_process::{ChildProcess, Start},
    error::FleetError,
};

/// How long a server may take to answer.
const START: Duration = Duration::from_secs(10);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(2);
/// How often to ask meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// A port that was free just now may be taken a moment later.
const ATTEMPTS: u32 = 5;

/// A shard.
#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) name: String,
    pub(crate) held: ChildProcess,
    address: SocketAddr,
}

/// What `INFO` tells of a shard, since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ShardCounts {
    /// Calls of functions; a post is one.
    pub calls: u64,
    /// Time in them, in microseconds.
    pub calls_us: u64,
    /// Bytes sent to pods.
    pub output_bytes: u64,
}

impl ShardCounts {
    /// What was counted since then.
    pub(crate) const fn since(self, then: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(then.calls),
            calls_us: self.calls_us.saturating_sub(then.calls_us),
            output_bytes: self.output_bytes.saturating_sub(then.output_bytes),
        }
    }
}

/// Where a shard starts.
pub(crate) struct Place<'a> {
    pub(crate) program: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) port: Option<u16>,
    pub(crate) cpu: Option<u16>,
}

impl Redis {
    pub(crate) async fn start(name: String, place: Place<'_>) -> Result<Self, FleetError> {
        let attempts = if place.port.is_some() { 1 } else { ATTEMPTS };
        let mut why = String::new();
        for _ in 0..attempts {
            let port = place.port.map_or_else(free_port, Ok)?;
            let mut redis = Self::spawn(name.clone(), port, &place)?;
            if redis.answers().await? {
                return Ok(redis);
            }
            why = redis.held.end();
        }
        Err(FleetError::NotStarted { name, why })
    }

    fn spawn(name: String, port: u16, place: &Place<'_>) -> Result<Self, FleetError> {
        let port_text = port.to_string();
        let args = ["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--dir"];
        let held = ChildProcess::start(Start {
            name: &name,
            program: place.program,
            args: args.into_iter().map(Into::into).chain([place.folder.into()]).collect(),
            settings: Vec::new(),
            cpu: place.cpu,
            folder: place.folder,
        })?;
        Ok(Self { name, held, address: SocketAddr::from(([127, 0, 0, 1], port)) })
    }

    /// Whether this very process answers behind the port: another may have had it already.
    async fn answers(&mut self) -> Result<bool, FleetError> {
        let deadline = Instant::now() + START;
        let own = format!("process_id:{}", self.held.pid());
        while self.held.ended().is_none() {
            let server = self.info("server").await.unwrap_or_default();
            if server.lines().any(|line| line == own) {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Err(FleetError::Silent { name: self.name.clone(), why: self.held.end() });
            }
            sleep(ASK_EVERY).await;
        }
        Ok(false)
    }

    /// How pods reach it.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// What it counted; `None` if it does not answer.
    pub(crate) async fn counts(&self) -> Option<ShardCounts> {
        let (calls, stats) = (self.info("commandstats").await?, self.info("stats").await?);
        let fcall = calls.lines().find_map(|line| line.strip_prefix("cmdstat_fcall:")).unwrap_or_default();
        let of = |name: &str| {
            let value = fcall.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|value| value.parse().ok()).unwrap_or(0)
        };
        let sent = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        Some(ShardCounts { calls: of("calls"), calls_us: of("usec"), output_bytes: sent?.parse().ok()? })
    }

    /// How many of these channels have a subscriber.
    pub(crate) async fn subscribed(&self, channels: &[String]) -> Option<usize> {
        let answer = self.ask(&format!("PUBSUB NUMSUB {}", channels.join(" "))).await?;
        Some(answer.lines().filter(|line| line.strip_prefix(':').is_some_and(|count| count != "0")).count())
    }

    async fn info(&self, section: &str) -> Option<String> {
        self.ask(&format!("INFO {section}")).await
    }

    /// Asks one command on a connection of its own; `None` if there is no whole answer in time. The answer is as it
    /// came: the lines of the protocol (redis.io, "Redis serialization protocol") stand between those of the value.
    async fn ask(&self, command: &str) -> Option<String> {
        let asking = async {
            let mut socket = TcpStream::connect(self.address).await.ok()?;
            // The server closes after it, and that is where the answer ends.
            socket.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).await.ok()?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.ok()?;
            Some(answer)
        };
        timeout(ANSWER, asking).await.ok().flatten()
    }
}

/// A port that is free at this moment.
fn free_port() -> Result<u16, FleetError> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
