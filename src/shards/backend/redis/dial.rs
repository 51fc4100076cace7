//! The making of a wire's connections: to the first of the name's addresses that answers, and to another place when the
//! shard has moved.

use std::{net::SocketAddr, time::Duration};

use fred::error::{Error, ErrorKind};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, info, warn};

use super::{
    connection::{Address, Connection, Purpose},
    errors::is_unusable,
    info::ServerInfo,
    resolve::{Answers, Failures, resolve},
};
use crate::shards::backend::{condition::Conditions, pause::Pauses};

/// How long an address has for itself before the next one is tried beside it (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// The shortest time between two attempts to reach the place that a shard moved to.
const RETRY: Duration = Duration::from_secs(1);

/// Makes the connections of one wire.
pub(super) struct Dialer {
    /// What they are for.
    pub(super) purpose: Purpose,
    /// The shard's name, in the log.
    pub(super) shard: String,
    /// The shard's address, as of now.
    pub(super) address: watch::Receiver<Address>,
    /// What is known of its name.
    pub(super) answers: watch::Receiver<Answers>,
    /// How many messages may wait to be routed.
    pub(super) backlog: usize,
    /// The addresses that were of no use.
    pub(super) failures: Failures,
}

impl Dialer {
    /// Connects to the shard: to the first of its name's addresses that answers.
    pub(super) async fn dial(&mut self) -> Result<Connection, Error> {
        let address = self.address.borrow_and_update().clone();
        let mut waiting = self.failures.order(resolve(&address.place()).await?).into_iter();
        let mut attempts = FuturesUnordered::new();
        let mut tried = Vec::new();
        let mut last_error = Error::new(ErrorKind::IO, "the name has no address");
        loop {
            if let Some(peer) = waiting.next() {
                tried.push(peer);
                let (address, backlog) = (&address, self.backlog);
                attempts.push(async move { (peer, Box::pin(address.connect(peer, backlog)).await) });
            }
            let outcome = match waiting.len() {
                0 => attempts.next().await,
                _ => match timeout(HEAD_START, attempts.next()).await {
                    Ok(outcome) => outcome,
                    Err(_) => continue,
                },
            };
            match outcome {
                Some((peer, Ok(connection))) => {
                    tried
                        .iter()
                        .filter(|other| **other != peer)
                        .for_each(|other| self.failures.record(*other));
                    return Ok(connection);
                }
                Some((peer, Err(error))) => {
                    debug!(shard = self.shard, purpose = ?self.purpose, %peer, %error, "connection attempt failed");
                    self.failures.record(peer);
                    last_error = error;
                }
                None => return Err(last_error),
            }
        }
    }

    /// Waits until a connection leads to the wrong place, and makes one that leads to the right one.
    ///
    /// The old connection serves until then, so that a place that nobody can reach takes nothing away.
    pub(super) async fn redial(&mut self, address: &Address, peer: SocketAddr, made: Instant) -> Connection {
        let mut pauses = Pauses::default();
        let mut is_told = false;
        loop {
            while !self.has_moved(address, peer, made) {
                is_told = false;
                tokio::select! {
                    // Neither ends before this does.
                    Ok(()) = self.address.changed() => {}
                    Ok(()) = self.answers.changed() => {}
                    else => std::future::pending().await,
                }
            }
            let (shard, place) = (self.shard.clone(), self.address.borrow().place());
            match self.dial_shard().await {
                Ok(connection) => {
                    if self.purpose == Purpose::Posting {
                        info!(shard, address = place, from = %peer, to = %connection.peer, "shard moved to another address");
                    }
                    return connection;
                }
                Err(error) => {
                    if self.purpose == Purpose::Posting && !std::mem::replace(&mut is_told, true) {
                        warn!(
                            shard, address = place, kept = %peer, %error,
                            "new address of the shard did not answer, the old connections are kept"
                        );
                    }
                    sleep(RETRY + pauses.next(Duration::ZERO, rand::random())).await;
                }
            }
        }
    }

    /// Connects to the shard, if its server can be one.
    async fn dial_shard(&mut self) -> Result<Connection, Error> {
        let connection = self.dial().await?;
        match ServerInfo::of(&connection.client).await {
            Ok(info) => match info.conditions(Conditions::default()).breaking() {
                Some(condition) => Err(Error::new(ErrorKind::Config, condition.text())),
                None => Ok(connection),
            },
            Err(error) if is_unusable(&error) => Err(error),
            // A user who may not ask for INFO does without.
            Err(_) => Ok(connection),
        }
    }

    fn has_moved(&mut self, address: &Address, peer: SocketAddr, made: Instant) -> bool {
        let is_same = self.address.borrow_and_update().is_same_server(address);
        !is_same || self.answers.borrow_and_update().have_left(&address.place(), peer, made)
    }
}
