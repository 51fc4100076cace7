//! A relay between a client and a pod: it can be cut, held up, and led to another pod.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// What the kernel keeps of what a pod sent, in bytes, so that a pod notices when its frames are held.
const RECEIVE_BUFFER: u32 = 4_096;

/// An address of its own, whose connections go to a pod. Dropping it ends them.
pub(crate) struct Relay {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    orders: watch::Sender<Orders>,
    /// Its listener and, within that, its connections; they end with it.
    _tasks: JoinSet<()>,
}

#[derive(Debug, Clone, Copy)]
struct Orders {
    /// Where new connections go.
    pod: SocketAddr,
    /// How often everything was cut.
    cuts: u32,
    /// The pod whose answers are held.
    held: Option<SocketAddr>,
}

impl Relay {
    /// Relays to a pod.
    pub(crate) async fn to(pod: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let orders = watch::Sender::new(Orders { pod, cuts: 0, held: None });
        let given = orders.subscribe();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(relay(client, given.clone()));
            }
        });
        Self { address, orders, _tasks: tasks }
    }

    /// Leads new connections to another pod; those that there are stay where they are.
    pub(crate) fn lead_to(&self, pod: SocketAddr) {
        self.orders.send_modify(|orders| orders.pod = pod);
    }

    /// Cuts the connections that there are; new ones are taken.
    pub(crate) fn cut(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// Cuts the connections that there are, and takes no new ones until it is led to a pod.
    pub(crate) fn cut_off(&self) {
        // Nobody listens on port 1.
        self.lead_to(SocketAddr::from(([127, 0, 0, 1], 1)));
        self.cut();
    }

    /// Holds what this pod sends, or passes on everything again: to the pod, its viewers are some that do not read.
    pub(crate) fn hold(&self, pod: Option<SocketAddr>) {
        self.orders.send_modify(|orders| orders.held = pod);
    }
}

async fn relay(client: TcpStream, mut orders: watch::Receiver<Orders>) {
    let Orders { pod, cuts, .. } = *orders.borrow();
    let given = orders.clone();
    tokio::select! {
        _ = orders.wait_for(|orders| orders.cuts != cuts) => {}
        _ = pass_on(client, pod, given) => {}
    }
}

async fn pass_on(
    mut client: TcpStream,
    address: SocketAddr,
    mut orders: watch::Receiver<Orders>,
) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    let mut pod = socket.connect(address).await?;
    client.set_nodelay(true)?;
    pod.set_nodelay(true)?;
    let ((mut from_client, mut to_client), (mut from_pod, mut to_pod)) = (client.split(), pod.split());
    let up = async {
        copy(&mut from_client, &mut to_pod).await?;
        to_pod.shutdown().await
    };
    let down = async {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            // An error is the relay's end, which ends this too.
            let _ = orders.wait_for(|orders| orders.held != Some(address)).await;
            let count = from_pod.read(&mut bytes).await?;
            if count == 0 {
                return to_client.shutdown().await;
            }
            to_client.write_all(&bytes[..count]).await?;
        }
    };
    tokio::try_join!(up, down).map(drop)
}
