//! The receivers of the plain loop: sockets that are read and forgotten, as cheaply as viewers are.

use std::{io, time::Duration};

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use crate::{
    base::proc,
    protocol::{link::Link, stream::Stream},
};

/// Connections at once; the sender's listener has a short queue.
const IN_FLIGHT: u32 = 64;
const CONNECTING: Duration = Duration::from_secs(30);

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

/// What the receivers saw; one line of JSON to the sender.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct SinkReport {
    /// CPU of the reading, without the connecting, in microseconds.
    pub cpu_us: u64,
    /// Bytes read.
    pub bytes: u64,
}

/// Connects, reads until the sender closes, and reports.
///
/// # Errors
/// When a connection cannot be had.
pub async fn sink(args: &SinkArgs) -> io::Result<SinkReport> {
    proc::open_files_limit();
    let mut links = Vec::new();
    let mut wanted = args.sockets;
    while wanted > 0 {
        let mut connecting = JoinSet::new();
        for _ in 0..wanted.min(IN_FLIGHT) {
            connecting.spawn(timeout(CONNECTING, TcpStream::connect(args.connect)));
        }
        for connected in connecting.join_all().await {
            links.push(Link::new(Stream::Plain(connected??)));
        }
        wanted -= wanted.min(IN_FLIGHT);
    }
    let cpu_us = proc::own_cpu_us();
    let mut reading = JoinSet::new();
    for mut link in links {
        reading.spawn(async move {
            let mut bytes = 0u64;
            while let Ok(Some(read)) = link.turn(<[u8]>::len).await {
                bytes += read as u64;
            }
            bytes
        });
    }
    let bytes = reading.join_all().await.into_iter().sum();
    Ok(SinkReport { cpu_us: proc::own_cpu_us() - cpu_us, bytes })
}
