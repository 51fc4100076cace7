//! A connection over all its lives: kept up for ever, and lent to whoever has something to send.

use std::{sync::Arc, time::Duration};

use fred::{clients::Client, error::Error};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};
use tracing::{info, warn};

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
/// How often a lasting outage is logged.
const LOG_EVERY: Duration = Duration::from_secs(10);

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
            () = self.unusable.notified() => "it was of no use any more".to_owned(),
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

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Posting => "posting",
            Self::Reading => "reading",
            Self::Subscribing => "subscribing",
        }
    }
}

/// The keeping end: what a wire does with its connections.
pub(super) struct Upkeep {
    /// What it is for, in the log.
    pub(super) purpose: &'static str,
    /// The shard's name, in the log.
    pub(super) shard: String,
    /// Where it leads.
    pub(super) address: Address,
    /// How many messages may wait to be routed.
    pub(super) backlog: usize,
    /// The waits between attempts.
    pub(super) retry: Retry,
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
        address: Address,
        recoveries: &Recoveries,
    ) -> (Wire, Self) {
        let (lives, lent) = watch::channel(None);
        let (backlog, pauses) = match purpose {
            Purpose::Posting => (NO_BACKLOG, Pauses::of_first()),
            Purpose::Reading => (NO_BACKLOG, Pauses::default()),
            Purpose::Subscribing => (BACKLOG, Pauses::default()),
        };
        let retry = Retry::new(pauses, recoveries.clone());
        (
            Wire(lent),
            Self { purpose: purpose.name(), shard: shard.to_owned(), address, backlog, retry, lives },
        )
    }

    /// Keeps the wire up for ever.
    pub(super) async fn keep(mut self, mut duty: impl Duty) {
        let mut logged = None;
        for id in 0.. {
            self.retry.begins();
            let lived = match Box::pin(self.address.connect(self.backlog)).await {
                Ok(connection) => {
                    logged = None;
                    self.retry.succeeded();
                    self.one_life(ConnectionId(id), connection, &mut duty).await
                }
                Err(error) => {
                    self.log_failure(&error, &mut logged);
                    self.retry.failed();
                    Duration::ZERO
                }
            };
            self.retry.wait(lived).await;
        }
    }

    async fn one_life(&self, id: ConnectionId, connection: Connection, duty: &mut impl Duty) -> Duration {
        let (shard, purpose) = (&self.shard, self.purpose);
        let life = Life { id, client: connection.client.clone(), unusable: Arc::default() };
        let lend = |life: Life| {
            info!(shard, purpose, "connected to the shard");
            self.lives.send_replace(Some(life));
        };
        let began = Instant::now();
        let cause = duty.serve(connection, life, &lend).await;
        self.lives.send_replace(None);
        warn!(shard, purpose, cause, "the connection to the shard is gone");
        began.elapsed()
    }

    fn log_failure(&self, error: &Error, logged: &mut Option<Instant>) {
        if logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            *logged = Some(Instant::now());
            let (shard, purpose) = (&self.shard, self.purpose);
            warn!(shard, purpose, %error, "the shard cannot be reached");
        }
    }
}
