//! A connection over all its lives: kept up for ever, and lent to whoever has something to send.

use std::{sync::Arc, time::Duration};

use fred::clients::Client;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};
use tracing::debug;

use super::{
    connection::{Address, Connection, Router},
    retry::{Recoveries, Retry},
};
use crate::shards::{
    pause::Pauses,
    shard::{ConnectionId, Unavailable},
};

/// How long a command waits for a connection that is being made; longer outages are answered at once after that.
const PATIENCE: Duration = Duration::from_millis(250);
/// How many messages wait to be routed.
const BACKLOG: usize = 16_384;
/// The connections that only answer need no room for messages.
const NO_BACKLOG: usize = 1;

/// One life of a connection, as others may use it.
#[derive(Clone)]
pub(super) struct Life {
    /// Counts the lives of this wire; not Redis's CLIENT ID, which a restarted server gives out again.
    pub(super) id: ConnectionId,
    /// The connection.
    pub(super) client: Client,
    unusable: Arc<Notify>,
}

impl Life {
    /// Ends this life, and with it every command in flight: the next one begins after a pause.
    pub(super) fn give_up(&self) {
        self.unusable.notify_one();
    }

    /// Waits until the connection is gone, by itself or because somebody gave it up.
    pub(super) async fn over(&self, router: &mut Router) -> String {
        tokio::select! {
            error = router.ended() => error.to_string(),
            () = self.unusable.notified() => "connection discarded after an error reply".to_owned(),
        }
    }
}

/// The lending end.
#[derive(Clone)]
pub(super) struct Wire(watch::Receiver<Option<Life>>);

impl Wire {
    /// The living connection, for which it waits a moment.
    pub(super) async fn life(&self) -> Result<Life, Unavailable> {
        if let Some(life) = self.living() {
            return Ok(life);
        }
        let mut lives = self.0.clone();
        let found = timeout(PATIENCE, lives.wait_for(Option::is_some)).await;
        found.ok().and_then(Result::ok).and_then(|life| life.clone()).ok_or(Unavailable)
    }

    /// The living connection, if there is one now.
    pub(super) fn living(&self) -> Option<Life> {
        self.0.borrow().clone()
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

/// The keeping end: what a wire does with its connections.
pub(super) struct Upkeep {
    /// What it is for, in the log.
    pub(super) purpose: Purpose,
    /// The shard's name, in the log.
    pub(super) shard: String,
    /// Where it leads, as of now.
    pub(super) address: watch::Receiver<Address>,
    /// How many messages may wait to be routed.
    pub(super) backlog: usize,
    /// The waits between attempts.
    pub(super) retry: Retry,
    last_error: LastError,
    lives: watch::Sender<Option<Life>>,
}

/// What is done with one connection from its making to its end.
pub(super) trait Duty: Send {
    /// Prepares the connection, lends it, and returns when it is over: the reason, in words.
    fn serve(
        &mut self,
        connection: Connection,
        life: Life,
        lend: &(dyn Fn(Life) + Sync),
    ) -> impl Future<Output = String> + Send;
}

impl Upkeep {
    /// Both ends of a wire that has no connection yet.
    pub(super) fn new(
        purpose: Purpose,
        shard: &str,
        address: watch::Receiver<Address>,
        recoveries: &Recoveries,
        last_error: &LastError,
    ) -> (Wire, Self) {
        let (lives, lent) = watch::channel(None);
        let (backlog, pauses) = match purpose {
            Purpose::Posting => (NO_BACKLOG, Pauses::of_first()),
            Purpose::Reading => (NO_BACKLOG, Pauses::default()),
            Purpose::Subscribing => (BACKLOG, Pauses::default()),
        };
        let retry = Retry::new(pauses, recoveries.clone());
        let (shard, last_error) = (shard.to_owned(), last_error.clone());
        (Wire(lent), Self { purpose, shard, address, backlog, retry, last_error, lives })
    }

    /// Keeps the wire up for ever.
    pub(super) async fn keep(mut self, mut duty: impl Duty) {
        for id in 0.. {
            self.retry.begins();
            let address = self.address.borrow_and_update().clone();
            let lived = match Box::pin(address.connect(self.backlog)).await {
                Ok(connection) => {
                    self.retry.succeeded();
                    self.one_life(ConnectionId(id), connection, &mut duty).await
                }
                Err(error) => {
                    let (shard, purpose) = (&self.shard, self.purpose);
                    debug!(shard, ?purpose, %error, "connection attempt failed");
                    self.last_error.set(error.to_string());
                    self.retry.failed();
                    Duration::ZERO
                }
            };
            self.retry.wait(lived).await;
        }
    }

    async fn one_life(&self, id: ConnectionId, connection: Connection, duty: &mut impl Duty) -> Duration {
        let mut address = self.address.clone();
        let place = address.borrow_and_update().place();
        let (shard, purpose) = (&self.shard, self.purpose);
        let life = Life { id, client: connection.client.clone(), unusable: Arc::default() };
        let lend = |life: Life| {
            debug!(shard, ?purpose, "connected");
            self.lives.send_replace(Some(life));
        };
        let began = Instant::now();
        let given_up = life.clone();
        let cause = tokio::select! {
            cause = duty.serve(connection, life, &lend) => cause,
            // A connection outlives a change of its password, and not one of its host.
            never = async {
                let moved = address.wait_for(|address| address.place() != place).await.is_ok();
                if moved {
                    given_up.give_up();
                }
                std::future::pending::<String>().await
            } => never,
        };
        self.lives.send_replace(None);
        debug!(shard, ?purpose, cause, "connection ended");
        self.last_error.set(cause);
        began.elapsed()
    }
}
