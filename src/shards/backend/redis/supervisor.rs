//! A connection over all its lives: kept up for ever, and lent to whoever has something to send.

use std::{sync::Arc, time::Duration};

use fred::clients::Client;
use parking_lot::Mutex;
use tokio::{
    sync::{SetOnce, watch},
    time::{Instant, sleep, timeout},
};
use tracing::debug;

use super::{
    connection::{Address, COMMAND_TIMEOUT, Connection, OpenSocket, Purpose, Router},
    dial::Dialer,
    resolve::{Answers, Failures},
    retry::{Recoveries, Retry},
};
use crate::shards::backend::{
    pause::{PROVEN, Pauses},
    types::{ConnectionId, Unavailable},
};

/// How long a command waits for a connection that is being made; longer outages are answered at once after that.
const PATIENCE: Duration = Duration::from_millis(250);
/// The time in which the connection that follows one that has moved is prepared.
const PREPARED_WITHIN: Duration = Duration::from_secs(1);
/// How many messages wait to be routed.
const BACKLOG: usize = 16_384;
/// The connections that only answer need no room for messages.
const NO_BACKLOG: usize = 1;

/// One life of a connection, as others may use it.
#[derive(Clone)]
pub(super) struct ConnectionEpoch {
    /// Counts the lives of this wire; not Redis's CLIENT ID, which a restarted server gives out again.
    pub(super) id: ConnectionId,
    /// The connection.
    pub(super) client: Client,
    /// Why it was given up.
    given_up: Arc<SetOnce<String>>,
}

impl ConnectionEpoch {
    /// Ends this life for a reason, and with it every command in flight: the next one begins after a pause.
    pub(super) fn give_up(&self, cause: &impl ToString) {
        // Of several reasons the first is the one that counts.
        let _ = self.given_up.set(cause.to_string());
    }

    /// Waits until the connection is gone, by itself or because somebody gave it up.
    pub(super) async fn over(&self, router: &mut Router) -> String {
        tokio::select! {
            error = router.ended() => error.to_string(),
            cause = self.given_up.wait() => format!("connection given up: {cause}"),
        }
    }
}

/// The lending end.
#[derive(Clone)]
pub(super) struct SupervisedConnection(watch::Receiver<Option<ConnectionEpoch>>);

impl SupervisedConnection {
    /// The living connection, for which it waits a moment.
    pub(super) async fn life(&self) -> Result<ConnectionEpoch, Unavailable> {
        if let Some(life) = self.living() {
            return Ok(life);
        }
        let mut lives = self.0.clone();
        let found = timeout(PATIENCE, lives.wait_for(Option::is_some)).await;
        found.ok().and_then(Result::ok).and_then(|life| life.clone()).ok_or(Unavailable)
    }

    /// The living connection, if there is one now.
    pub(super) fn living(&self) -> Option<ConnectionEpoch> {
        self.0.borrow().clone()
    }
}

/// The reason for which one of a link's connections ended, or was not made, last. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(super) struct LastError(Arc<Mutex<String>>);

impl LastError {
    /// The reason, in words; empty if there was none yet.
    pub(super) fn get(&self) -> String {
        self.0.lock().clone()
    }

    fn set(&self, error: String) {
        *self.0.lock() = error;
    }
}

/// What the connections of a link share.
pub(super) struct Common {
    /// The shard's name, in the log.
    pub(super) shard: String,
    /// Where it is, as of now.
    pub(super) address: watch::Receiver<Address>,
    /// What is known of its name.
    pub(super) answers: watch::Receiver<Answers>,
    /// Recoveries after attempts that failed.
    pub(super) recoveries: Recoveries,
    /// The reason for which a connection ended, or was not made, last.
    pub(super) last_error: LastError,
}

/// The keeping end: what a wire does with its connections.
pub(super) struct Upkeep {
    /// The making of connections.
    pub(super) dialer: Dialer,
    /// The waits between attempts.
    pub(super) retry: Retry,
    last_error: LastError,
    lives: watch::Sender<Option<ConnectionEpoch>>,
}

/// What is done with one connection from its making to its end.
pub(super) trait Duty: Send {
    /// Prepares the connection, lends it, and returns when it is over: the reason, in words.
    fn serve(
        &mut self,
        connection: Connection,
        life: ConnectionEpoch,
        lend: &(dyn Fn(ConnectionEpoch) + Sync),
    ) -> impl Future<Output = String> + Send;
}

impl Upkeep {
    /// Both ends of a wire that has no connection yet.
    pub(super) fn new(purpose: Purpose, common: &Common) -> (SupervisedConnection, Self) {
        let (lives, lent) = watch::channel(None);
        let (backlog, pauses) = match purpose {
            Purpose::Posting => (NO_BACKLOG, Pauses::of_first()),
            Purpose::Reading => (NO_BACKLOG, Pauses::default()),
            Purpose::Subscribing => (BACKLOG, Pauses::default()),
        };
        let dialer = Dialer {
            purpose,
            shard: common.shard.clone(),
            address: common.address.clone(),
            answers: common.answers.clone(),
            backlog,
            failures: Failures::default(),
        };
        let retry = Retry::new(pauses, common.recoveries.clone());
        (SupervisedConnection(lent), Self { dialer, retry, last_error: common.last_error.clone(), lives })
    }

    /// Keeps the wire up for ever.
    pub(super) async fn keep(mut self, mut duty: impl Duty) {
        // The connection that is to follow the last one, and the socket of that.
        let (mut successor, mut former) = (None, None);
        for id in 0.. {
            let made = match successor.take() {
                Some(connection) => Ok(connection),
                None => {
                    self.retry.begins();
                    Box::pin(self.dialer.dial()).await
                }
            };
            let lived = match made {
                Ok(connection) => {
                    self.retry.succeeded();
                    let (peer, socket) = (connection.peer, connection.router.socket());
                    let (lived, next) =
                        self.one_life(ConnectionId(id), connection, former.take(), &mut duty).await;
                    if let Some(next) = next {
                        (successor, former) = (Some(next), Some(socket));
                        continue;
                    }
                    if lived < PROVEN {
                        self.dialer.failures.record(peer);
                    }
                    lived
                }
                Err(error) => {
                    self.last_error.set(error.to_string());
                    self.retry.failed();
                    Duration::ZERO
                }
            };
            self.retry.wait(lived).await;
        }
    }

    /// Serves until the connection is over; returns for how long, and the connection that is to follow if it has moved.
    /// The one before, which has moved, has its socket kept open until this one is prepared and what was sent on that is
    /// answered.
    async fn one_life(
        &mut self,
        id: ConnectionId,
        connection: Connection,
        former: Option<OpenSocket>,
        duty: &mut impl Duty,
    ) -> (Duration, Option<Connection>) {
        let Self { dialer, lives, last_error, .. } = self;
        let (shard, purpose) = (dialer.shard.clone(), dialer.purpose);
        let (address, peer) = (connection.address.clone(), connection.peer);
        let life = ConnectionEpoch { id, client: connection.client.clone(), given_up: Arc::default() };
        let lend = |life: ConnectionEpoch| {
            debug!(shard, ?purpose, %peer, "connected");
            lives.send_replace(Some(life));
        };
        let began = Instant::now();
        let given_up = life.clone();
        let drain = async {
            if let Some(_socket) = former {
                sleep(PREPARED_WITHIN + COMMAND_TIMEOUT).await;
            }
            std::future::pending().await
        };
        let mut serving = std::pin::pin!(duty.serve(connection, life, &lend));
        let (cause, successor) = tokio::select! {
            cause = &mut serving => (cause, None),
            never = drain => never,
            // A connection outlives a change of its password, and not one of its host.
            next = Box::pin(dialer.redial(&address, peer, began)) => {
                given_up.give_up(&"the shard has moved");
                (serving.await, Some(next))
            }
        };
        // The next one is being prepared meanwhile, and this one answers until that is lent. Messages stop, however.
        if successor.is_none() || purpose == Purpose::Subscribing {
            lives.send_replace(None);
        }
        debug!(shard, ?purpose, cause, "connection ended");
        last_error.set(cause);
        (began.elapsed(), successor)
    }
}
