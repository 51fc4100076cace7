//! The first facts of a connection.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
};

use tokio::net::TcpStream;

/// What is known of a connection before it says anything, with each of its requests.
#[derive(Debug, Clone, Copy)]
pub struct PeerInfo {
    /// Who connected: the client, or a proxy.
    pub peer: IpAddr,
    /// The number of its descriptor. The system gives out the lowest free number, so that at least so many are in use.
    pub descriptor: usize,
}

impl PeerInfo {
    pub(super) fn of(socket: &TcpStream, peer: SocketAddr) -> Self {
        let descriptor = usize::try_from(socket.as_raw_fd()).unwrap_or(0);
        Self { peer: peer.ip().to_canonical(), descriptor }
    }
}
