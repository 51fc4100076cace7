//! The fault proxy: a relay between a client and a server, which delays, holds, slows and cuts what goes through it,
//! closes one half of it, and can be led to another server.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// What the kernel keeps of what a pod sent, in bytes, so that a pod notices when its frames are held.
const RECEIVE_BUFFER: u32 = 4_096;
/// The most that is passed on at once.
const PIECE: usize = 16 * 1024;

/// Any free port.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// An address of its own, whose connections go to a server. Dropping it ends them.
pub struct Relay {
    /// Where clients connect.
    pub address: SocketAddr,
    orders: watch::Sender<Orders>,
    came: Arc<Mutex<Vec<Instant>>>,
    open: Arc<AtomicU32>,
    /// Its listener and, within that, its connections; they end with it.
    _tasks: JoinSet<()>,
}

/// A fault of all bytes of one direction, on every connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// Everything passes.
    #[default]
    None,
    /// Each piece comes so much later.
    Delay(Duration),
    /// Nothing comes, and nothing is lost.
    Stall,
    /// So many bytes a second.
    Rate(u32),
    /// The connection ends after so many bytes, wherever in a message that is.
    CutAfter(usize),
    /// The end of this direction is told, and the other goes on.
    HalfClose,
}

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From client to server.
    ToServer,
    /// From server to client.
    ToClient,
}

#[derive(Debug, Clone, Copy)]
struct Orders {
    /// Where new connections go.
    server: SocketAddr,
    /// How often everything was cut.
    cuts: u32,
    /// The server whose answers are held.
    held: Option<SocketAddr>,
    to_server: Fault,
    to_client: Fault,
}

impl Orders {
    /// What is done to what comes from a server, or goes to it.
    fn fault(&self, direction: Direction, server: SocketAddr) -> Fault {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient if self.held == Some(server) => Fault::Stall,
            Direction::ToClient => self.to_client,
        }
    }
}

impl Relay {
    /// Relays to a pod, whose frames wait in the pod when they are held.
    pub async fn to(pod: SocketAddr) -> Self {
        Self::with_buffer(ANY, pod, Some(RECEIVE_BUFFER)).await
    }

    /// Relays to a port of this machine, with the buffers that the kernel gives.
    pub async fn to_port(port: u16) -> Self {
        Self::at(ANY, port).await
    }

    /// Relays from an address that a test chose to a port of this machine.
    pub async fn at(address: SocketAddr, port: u16) -> Self {
        Self::with_buffer(address, SocketAddr::from(([127, 0, 0, 1], port)), None).await
    }

    async fn with_buffer(address: SocketAddr, server: SocketAddr, buffer: Option<u32>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (to_server, to_client) = (Fault::None, Fault::None);
        let orders = watch::Sender::new(Orders { server, cuts: 0, held: None, to_server, to_client });
        let (given, came, open) = (orders.subscribe(), Arc::default(), Arc::<AtomicU32>::default());
        let (counted, count): (Arc<Mutex<Vec<Instant>>>, _) = (Arc::clone(&came), Arc::clone(&open));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((client, _)) = listener.accept() => {
                        counted.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                        connections.spawn(relay(client, buffer, given.clone()));
                    }
                    Some(_) = connections.join_next() => {}
                }
                count.store(u32::try_from(connections.len()).unwrap(), Ordering::Relaxed);
            }
        });
        Self { address, orders, came, open, _tasks: tasks }
    }

    /// How many connections there are.
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// How many connections have come.
    pub fn came(&self) -> usize {
        self.arrivals().len()
    }

    /// The moments at which connections came: before anything of them was passed on.
    pub fn arrivals(&self) -> Vec<Instant> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leads new connections to another server; those that there are stay where they are.
    pub fn lead_to(&self, server: SocketAddr) {
        self.orders.send_modify(|orders| orders.server = server);
    }

    /// Cuts the connections that there are; new ones are taken.
    pub fn cut(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// Cuts the connections that there are, and takes no new ones until it is led to a server.
    pub fn cut_off(&self) {
        // Nobody listens on port 1.
        self.lead_to(SocketAddr::from(([127, 0, 0, 1], 1)));
        self.cut();
    }

    /// Holds what this pod sends, or passes on everything again: to the pod, its viewers are some that do not read.
    pub fn hold(&self, pod: Option<SocketAddr>) {
        self.orders.send_modify(|orders| orders.held = pod);
    }

    /// Does this to everything of a direction from here on.
    pub fn inject(&self, direction: Direction, fault: Fault) {
        self.orders.send_modify(|orders| match direction {
            Direction::ToServer => orders.to_server = fault,
            Direction::ToClient => orders.to_client = fault,
        });
    }

    /// Passes on everything again. What was ended stays ended.
    pub fn clear(&self) {
        self.inject(Direction::ToServer, Fault::None);
        self.inject(Direction::ToClient, Fault::None);
    }
}

async fn relay(client: TcpStream, buffer: Option<u32>, mut orders: watch::Receiver<Orders>) {
    let Orders { server, cuts, .. } = *orders.borrow();
    let given = orders.clone();
    tokio::select! {
        _ = orders.wait_for(|orders| orders.cuts != cuts) => {}
        _ = pass_on(client, server, buffer, given) => {}
    }
}

async fn pass_on(
    mut client: TcpStream,
    address: SocketAddr,
    buffer: Option<u32>,
    orders: watch::Receiver<Orders>,
) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    let mut server = socket.connect(address).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    let pipe = |direction| Pipe { direction, address, orders: orders.clone() };
    let up = pipe(Direction::ToServer).run(from_client, to_server);
    let down = pipe(Direction::ToClient).run(from_server, to_client);
    tokio::try_join!(up, down).map(drop)
}

/// One direction of a connection.
struct Pipe {
    direction: Direction,
    address: SocketAddr,
    orders: watch::Receiver<Orders>,
}

impl Pipe {
    fn fault(&mut self) -> Fault {
        self.orders.borrow_and_update().fault(self.direction, self.address)
    }

    /// Passes on until the end, which it tells; an error ends the other direction too.
    async fn run(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let mut bytes = vec![0; PIECE];
        // The cut that is in force, and what may pass before it.
        let (mut cut, mut left) = (Fault::None, 0);
        loop {
            let fault = self.passable().await;
            if fault == Fault::HalfClose {
                to.shutdown().await?;
                while from.read(&mut bytes).await? > 0 {}
                return Ok(());
            }
            let most =
                if let Fault::Rate(rate) = fault { (rate as usize / 10).clamp(1, PIECE) } else { PIECE };
            let count = tokio::select! {
                count = from.read(&mut bytes[..most]) => count?,
                _ = self.orders.changed() => continue,
            };
            if count == 0 {
                return to.shutdown().await;
            }
            let fault = self.passable().await;
            if let (Fault::CutAfter(count), true) = (fault, cut != fault) {
                (cut, left) = (fault, count);
            }
            match fault {
                Fault::Delay(later) => crate::pause(later).await,
                Fault::Rate(rate) => {
                    crate::pause(Duration::from_secs_f64(count as f64 / f64::from(rate))).await;
                }
                Fault::CutAfter(_) if count >= left => {
                    to.write_all(&bytes[..left]).await?;
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                Fault::CutAfter(_) => left -= count,
                _ => {}
            }
            to.write_all(&bytes[..count]).await?;
        }
    }

    /// Waits as long as nothing may pass.
    async fn passable(&mut self) -> Fault {
        loop {
            match self.fault() {
                // An error is the relay's end, which ends this too.
                Fault::Stall if self.orders.changed().await.is_ok() => {}
                fault => return fault,
            }
        }
    }
}
