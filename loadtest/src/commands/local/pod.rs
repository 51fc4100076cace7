//! A pod: the real program in a process of its own.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{
    child_process::{ChildProcess, Start},
    error::FleetError,
};
use crate::protocol::http;

/// How long a pod may take until it is ready and hears its shards.
const START: Duration = Duration::from_secs(15);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(2);
/// How often to look meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A pod that runs.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) held: ChildProcess,
    /// Where viewers and backends connect.
    pub(crate) public: SocketAddr,
    /// Where probes connect.
    pub(crate) ops: SocketAddr,
}

/// What a pod counted since its start, summed over its shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PodCounts {
    /// Streams whose messages come.
    pub subscriptions: u64,
    /// Messages that came.
    pub received: u64,
    /// Of these, those that found no viewer.
    pub unwatched: u64,
}

impl PodCounts {
    /// What was counted since then; subscriptions are those of now.
    pub(crate) const fn since(self, then: Self) -> Self {
        Self {
            subscriptions: self.subscriptions,
            received: self.received.saturating_sub(then.received),
            unwatched: self.unwatched.saturating_sub(then.unwatched),
        }
    }
}

#[derive(Deserialize)]
struct Readiness {
    ready: bool,
    shards: BTreeMap<String, Shard>,
}

#[derive(Deserialize)]
struct Shard {
    up: bool,
    subscriptions: u64,
    received: u64,
    unwatched: u64,
}

/// How a pod starts.
pub(crate) struct Place<'a> {
    pub(crate) program: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) cpu: Option<u16>,
    /// Environment variables.
    pub(crate) settings: Vec<(String, String)>,
}

impl Pod {
    /// Starts a pod; returns when it is ready and hears all its shards.
    pub(crate) async fn start(name: String, place: Place<'_>) -> Result<Self, FleetError> {
        // Its host's name would be that of every pod.
        let own_name = ("FANFARE_POD".to_owned(), name.clone());
        let mut held = ChildProcess::start(Start {
            name: &name,
            program: place.program,
            args: Vec::new(),
            settings: std::iter::once(own_name).chain(place.settings).collect(),
            cpu: place.cpu,
            folder: place.folder,
        })?;
        let deadline = Instant::now() + START;
        let mut told = None;
        loop {
            if held.ended().is_some() {
                return Err(FleetError::NotStarted { name, why: held.end() });
            }
            told = told.or_else(|| addresses(&held.said()));
            if let Some((_, ops)) = told
                && readiness(ops).await.is_some_and(|it| it.ready && it.shards.values().all(|shard| shard.up))
            {
                break;
            }
            if Instant::now() >= deadline {
                return Err(FleetError::Silent { name, why: held.end() });
            }
            sleep(LOOK_EVERY).await;
        }
        let Some((public, ops)) = told else { return Err(FleetError::Silent { name, why: held.end() }) };
        Ok(Self { name, held, public, ops })
    }

    /// Where viewers connect.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.public)
    }

    /// What it counted; `None` if it does not answer.
    pub(crate) async fn counts(&self) -> Option<PodCounts> {
        let Readiness { shards, .. } = readiness(self.ops).await?;
        let sum = |of: fn(&Shard) -> u64| shards.values().map(of).sum();
        Some(PodCounts {
            subscriptions: sum(|shard| shard.subscriptions),
            received: sum(|shard| shard.received),
            unwatched: sum(|shard| shard.unwatched),
        })
    }
}

/// The public address and that of the probes, from the lines with which a pod greets.
fn addresses(said: &str) -> Option<(SocketAddr, SocketAddr)> {
    let after = |label: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(label))?;
        line.trim().strip_prefix("http://")?.split('/').next()?.parse().ok()
    };
    Some((after("page")?, after("ready")?))
}

async fn readiness(ops: SocketAddr) -> Option<Readiness> {
    let asking = async {
        let mut socket = TcpStream::connect(ops).await.ok()?;
        let request = format!("GET /ready HTTP/1.1\r\nHost: {ops}\r\nConnection: close\r\n\r\n");
        let answer = http::exchange(&mut socket, request.as_bytes()).await.ok()?;
        serde_json::from_slice(&answer.body).ok()
    };
    timeout(ANSWER, asking).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_once_both_are_told() {
        let said = "Fanfare 0.1.0\n  page   http://127.0.0.1:8080/\n  watch  ws://127.0.0.1:8080/v1\n";
        assert_eq!(addresses(said), None);
        let said = format!("{said}  ready  http://127.0.0.1:8081/ready\n");
        let expected = ("127.0.0.1:8080".parse().unwrap(), "127.0.0.1:8081".parse().unwrap());
        assert_eq!(addresses(&said), Some(expected));
    }
}
