//! One connection to a shard's Redis, from its making to its end.
//!
//! fred can reconnect by itself, and is not asked to. It sends what was in flight again, mixes the messages of the old
//! and the new connection in one channel, adds a fixed jitter to its pauses where ours are random as a whole, and
//! cannot look at an unanswered command while its task waits for room in the socket. A fresh client for each life has
//! none of this, resolves the name again, and binds whatever it says to that life.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::{ClientLike, EventInterface, PubsubInterface},
    types::{
        ConnectHandle, CustomCommand, Message, RespVersion, Value,
        config::{Config, ConnectionConfig, PerformanceConfig, Server, ServerConfig, TcpConfig},
    },
};
use tokio::{sync::broadcast, task::AbortHandle};

use super::errors::refuses_writes;

/// How long any command may take; the outcome of a slower one is unknown.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(1);
/// How long it may take to resolve the name, to connect, and to introduce ourselves.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How many commands wait for room in the socket, at about 1 KiB each; a further one is refused.
const WAITING_COMMANDS: usize = 4096;

/// Why a shard's URL cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::shards) enum BadUrl {
    /// The operator wrote another scheme; a shard is one primary, no cluster and no sentinel.
    #[error("a shard's URL begins with redis:// or rediss://")]
    Scheme,
    /// The operator wrote something else wrong.
    #[error("a shard's URL has the form redis://[user:password@]host[:port][/database]")]
    Form,
    /// The Redis client sends the user and the password with its greeting, in one line that has no quotes.
    #[error("a shard's user and password hold no space, quote or control character")]
    Credentials,
    /// The machine's root certificates cannot be read.
    #[error("rediss:// needs the system's root certificates, and they cannot be read")]
    Certificates,
}

/// How to reach a shard.
#[derive(Clone)]
pub(super) struct Address(Config);

impl Address {
    /// Reads a URL; a query is ignored.
    pub(super) fn parse(url: &str) -> Result<Self, BadUrl> {
        let is_tls = url.starts_with("rediss://");
        if !is_tls && !url.starts_with("redis://") {
            return Err(BadUrl::Scheme);
        }
        let mut config = Config::from_url_centralized(url).map_err(|error| match error.kind() {
            ErrorKind::Tls => BadUrl::Certificates,
            _ => BadUrl::Form,
        })?;
        let breaks_line =
            |text: &str| text.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'".contains(c));
        if [&config.username, &config.password].into_iter().flatten().any(|text| breaks_line(text)) {
            return Err(BadUrl::Credentials);
        }
        config.version = RespVersion::RESP3;
        // Database 0 is where a connection begins: no SELECT, which the ACL then need not allow.
        config.database = config.database.filter(|database| *database != 0);
        Ok(Self(config))
    }

    /// The host and the port, without credentials.
    pub(super) fn place(&self) -> String {
        let place = |server: &Server| format!("{}:{}", server.host, server.port);
        self.0.server.hosts().iter().map(place).collect::<Vec<_>>().join(",")
    }

    /// Returns whether another address leads to the same server in the same way; credentials do not count.
    pub(super) fn is_same_server(&self, other: &Self) -> bool {
        let way = |Self(config): &Self| (config.tls.is_some(), config.database);
        self.place() == other.place() && way(self) == way(other)
    }

    /// The configuration for one of the name's addresses; the server's certificate is still that of the name.
    fn at(&self, peer: SocketAddr) -> Config {
        let mut config = self.0.clone();
        if let ServerConfig::Centralized { server } = &mut config.server {
            let name = config.tls.is_some().then(|| server.host.trim_matches(['[', ']', '.']).to_owned());
            let host = peer.to_string();
            let host = host.rsplit_once(':').map_or(host.as_str(), |(host, _port)| host);
            *server = Server::new_with_tls(host, peer.port(), name);
        }
        config
    }

    /// Connects to one of the name's addresses. `backlog` is how many messages may wait to be routed, at about 160 bytes
    /// each that are laid out at once.
    pub(super) async fn connect(&self, peer: SocketAddr, backlog: usize) -> Result<Connection, Error> {
        let performance = PerformanceConfig {
            default_command_timeout: COMMAND_TIMEOUT,
            broadcast_channel_capacity: 1,
            ..PerformanceConfig::default()
        };
        let connection = ConnectionConfig {
            connection_timeout: CONNECT_TIMEOUT,
            internal_command_timeout: CONNECT_TIMEOUT,
            max_command_attempts: 1,
            max_command_buffer_len: WAITING_COMMANDS,
            disable_cluster_health_check: true,
            tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
            ..ConnectionConfig::default()
        };
        let client = Client::new(self.at(peer), Some(performance), Some(connection), None);
        // fred would give each of eight sorts of events as much room as it is told, 12 MiB in all; only messages need it.
        client.inner().notifications.pubsub.store(Arc::new(broadcast::Sender::new(backlog)));
        // Both are asked for before there is anything to miss.
        let messages = client.message_rx();
        let mut connected = client.reconnect_rx();
        let mut router = Router::of(client.connect());
        tokio::select! {
            _ = connected.recv() => Ok(Connection { client, messages, router, peer, address: self.clone() }),
            error = router.ended() => Err(error),
        }
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Posts, and probes. It is the first to find out whether a dead shard answers again.
    Posting,
    /// Everything else that is called.
    Reading,
    /// Subscriptions.
    Subscribing,
}

/// A connection that was made.
pub(super) struct Connection {
    /// To send commands with.
    pub(super) client: Client,
    /// What comes on subscribed channels.
    pub(super) messages: broadcast::Receiver<Message>,
    /// What holds the socket.
    pub(super) router: Router,
    /// Where it leads.
    pub(super) peer: SocketAddr,
    /// The address of the shard that it was made with.
    pub(super) address: Address,
}

/// fred's task behind a connection; dropping it closes the socket, unless something else keeps that open.
pub(super) struct Router {
    task: ConnectHandle,
    socket: OpenSocket,
}

/// Keeps a connection's socket open, for answers that are still to come. Cloning shares it.
#[derive(Clone)]
pub(super) struct OpenSocket {
    _task: Arc<AbortOnDrop>,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        // Not fred's QUIT, which would wait for answers that may never come.
        self.0.abort();
    }
}

impl Router {
    fn of(task: ConnectHandle) -> Self {
        let socket = OpenSocket { _task: Arc::new(AbortOnDrop(task.abort_handle())) };
        Self { task, socket }
    }

    /// Something that keeps the socket open when the router is dropped.
    pub(super) fn socket(&self) -> OpenSocket {
        self.socket.clone()
    }

    /// Waits until the connection has ended by itself, and says why.
    pub(super) async fn ended(&mut self) -> Error {
        match (&mut self.task).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => Error::new_canceled(),
        }
    }
}

/// Whether to begin or to end subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SubscriptionChange {
    /// SUBSCRIBE.
    Begin,
    /// UNSUBSCRIBE.
    End,
}

/// Subscribes or unsubscribes, and returns once that is in force.
///
/// fred answers a SUBSCRIBE before Redis does, and an error reply to it goes to whatever command waits next: sent in the
/// same pipeline, so that nothing is read between the two, that is our PING. From then on every answer on the
/// connection is one off, so that PING carries a word of its own: another call's answer is no barrier either. After any
/// error but a time-out the connection must be given up. A Redis whose disk fails refuses PING like a write (MISCONF),
/// and never SUBSCRIBE: that refusal is the PING's own answer.
pub(super) async fn set_interest(
    client: &Client,
    interest: SubscriptionChange,
    channels: Vec<String>,
) -> Result<(), Error> {
    let pipeline = client.pipeline();
    match interest {
        SubscriptionChange::Begin => pipeline.subscribe(channels).await?,
        SubscriptionChange::End => pipeline.unsubscribe(channels).await?,
    }
    let word = rand::random::<u64>().to_string();
    let _queued: Value = pipeline.ping(Some(word.clone())).await?;
    // fred's future for a pipeline is some kilobytes.
    match Box::pin(pipeline.last::<String>()).await {
        Ok(answer) if answer == word => Ok(()),
        Ok(_) => Err(Error::new(ErrorKind::Protocol, "an answer to something else")),
        Err(error) if refuses_writes(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A command that fred has no method for, or only behind another feature.
pub(super) fn command(name: &'static str) -> CustomCommand {
    CustomCommand::new_static(name, None::<u16>, false)
}
