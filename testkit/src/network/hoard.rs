//! A proxy that takes everything from the server at once and passes it on as fast as the client reads: to the server,
//! each of its clients keeps up.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

/// The most bytes that are taken at once.
const PIECE: usize = 16 * 1024;

/// An address whose connections go to a server. Dropping it ends them.
pub struct Hoard {
    /// The address for clients.
    pub address: SocketAddr,
    held: Arc<AtomicUsize>,
    /// Its listener and, within that, its connections; they end with it.
    _tasks: JoinSet<()>,
}

impl Hoard {
    /// Starts one in front of a server.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let held = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&held);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                connections.spawn(async move { drop(pass_on(client, server, &count).await) });
            }
        });
        Self { address, held, _tasks: tasks }
    }

    /// The bytes that the server has sent and no client's socket has taken.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

async fn pass_on(mut client: TcpStream, server: SocketAddr, held: &AtomicUsize) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.split(), server.split());
    let (sender, mut receiver) = mpsc::unbounded_channel::<Vec<u8>>();
    let up = async {
        copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    let take = async move {
        loop {
            let mut piece = vec![0; PIECE];
            let count = from_server.read(&mut piece).await?;
            piece.truncate(count);
            held.fetch_add(count, Ordering::Relaxed);
            if count == 0 || sender.send(piece).is_err() {
                return Ok(());
            }
        }
    };
    let give = async {
        while let Some(piece) = receiver.recv().await {
            to_client.write_all(&piece).await?;
            held.fetch_sub(piece.len(), Ordering::Relaxed);
        }
        to_client.shutdown().await
    };
    tokio::try_join!(up, take, give).map(drop)
}
