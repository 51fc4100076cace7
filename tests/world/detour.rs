//! A long way to a server.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

/// Takes connections for a server and holds back what it answers. Dropping it cuts them.
pub(crate) struct Detour {
    /// Where it takes them.
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Detour {
    /// A detour to a port of this machine; each piece of an answer comes so much later.
    pub(crate) async fn to(port: u16, later: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut pipes = JoinSet::new();
            while let Ok((here, _)) = listener.accept().await {
                let Ok(there) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let ((from_here, to_here), (from_there, to_there)) = (here.into_split(), there.into_split());
                pipes.spawn(pipe(from_here, to_there, Duration::ZERO));
                pipes.spawn(pipe(from_there, to_here, later));
            }
        });
        Self { address, _tasks: tasks }
    }
}

async fn pipe(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, later: Duration) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if !later.is_zero() {
            super::pause(later).await;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
