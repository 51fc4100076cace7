//! The link to one shard: a Redis, seen through three connections, so that a slow read never delays a post.
//!
//! Only the files of this folder know fred, and only `deploy/redis/fanfare.lua` knows the keys.
//! Everything is bounded: commands that wait for the socket (4,096), messages that wait to be routed (16,384), events
//! that wait for the keeper (16,384, about 10 MiB with small comments). What overflows is refused, or lost and told.

mod calls;
mod connection;
mod dial;
mod errors;
mod functions;
mod heartbeat;
mod info;
mod keys;
mod liveness;
mod primary;
mod replies;
mod resolve;
mod retry;
mod subscriber;
mod supervisor;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use fred::error::ErrorKind;
use tokio::sync::{mpsc, watch};

pub(super) use self::connection::BadUrl;
use self::{
    connection::{Address, Purpose, SubscriptionChange, set_interest},
    functions::{FunctionCaller, Library},
    heartbeat::{Answering, HeartbeatKind},
    liveness::Liveness,
    primary::Primary,
    resolve::Answers,
    retry::Recoveries,
    subscriber::Listening,
    supervisor::{Common, ConnectionEpoch, LastError, SupervisedConnection, Upkeep},
};
use super::{
    clock::Clock,
    condition::Conditions,
    types::{Event, Unavailable},
};
use crate::domain::{Epoch, StreamId};

/// How many channels one SUBSCRIBE or UNSUBSCRIBE names, and how many heads are asked for at once.
const BATCH: usize = 500;
/// How many events wait for the keeper.
const BACKLOG: usize = 16_384;

/// Whether a URL can be a shard's.
///
/// # Errors
/// [`BadUrl`].
pub(in crate::shards) fn check_url(url: &str) -> Result<(), BadUrl> {
    Address::parse(url).map(drop)
}

/// What a link must know.
#[derive(Clone)]
pub(in crate::shards) struct LinkSettings {
    /// The shard's name, for the log.
    pub(in crate::shards) shard: String,
    /// Its URL, credentials included: this is never logged.
    pub(in crate::shards) url: String,
    /// This pod's name.
    pub(in crate::shards) pod: String,
    /// About how many entries a stream's history keeps.
    pub(in crate::shards) history_entries: usize,
    /// How long a stream's history outlives its last entry and its last viewer.
    pub(in crate::shards) history_ttl: Duration,
}

/// What the shard tells its keeper; when the keeper is slow, messages wait here, then are lost and [`Event::Overrun`].
pub(in crate::shards) type EventReceiver = mpsc::Receiver<Event>;

/// How a link fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shards) struct LinkHealth {
    /// All three connections live, and the last probe came back lately.
    pub(in crate::shards) up: bool,
    /// The last probe's round trip, if it came back lately.
    pub(in crate::shards) probe: Option<Duration>,
    /// Connections of all clients to the shard, and how many it takes; none until it said so.
    pub(in crate::shards) clients: Option<(u64, u64)>,
    /// The conditions of the server that posts go to.
    pub(in crate::shards) conditions: Conditions,
    /// Messages that came for streams since the start.
    pub(in crate::shards) messages: u64,
    /// Messages on channels that are not ours.
    pub(in crate::shards) strangers: u64,
    /// Messages lost because this pod did not keep up.
    pub(in crate::shards) overrun: u64,
    /// Subscribing connections made since the start.
    pub(in crate::shards) connections: u64,
}

/// A shard on Redis.
#[derive(Clone)]
pub(in crate::shards) struct Link(Arc<Inner>);

struct Inner {
    /// The shard's name, for the log.
    shard: String,
    posting: FunctionCaller,
    reading: FunctionCaller,
    subscribing: SupervisedConnection,
    liveness: Arc<Liveness>,
    address: watch::Sender<Address>,
    recoveries: Recoveries,
    last_error: LastError,
    clock: Clock,
    /// What this life of the pod is called among those that count viewers: a pod that is started again under its name
    /// is another one.
    member: String,
    /// The epoch of streams without one while the shard refuses writes.
    unkept_epoch: Epoch,
    history_entries: i64,
    history_ttl_ms: i64,
}

impl Link {
    /// A link, what it hears, and the work of keeping it up, for the caller to run: the link answers
    /// [`Unavailable`] while nobody does, and its connections are closed when that future is dropped.
    ///
    /// # Errors
    /// [`BadUrl`]: the operator's mistake. A shard that cannot be reached is no error here.
    pub(in crate::shards) fn start(
        settings: LinkSettings,
    ) -> Result<(Self, EventReceiver, impl Future<Output = ()> + Send + 'static), BadUrl> {
        let LinkSettings { shard, url, pod, history_entries, history_ttl } = settings;
        let address = Address::parse(&url)?;
        let probe_channel = keys::of_probe(&pod);
        let member = format!("{pod}.{}", Epoch::random());
        let audience_channel = keys::of_audience(&member);
        let (events, heard) = mpsc::channel(BACKLOG);
        let liveness = Arc::new(Liveness::new());
        let (address, followed) = watch::channel(address);
        let (told, answers) = watch::channel(Answers::default());
        let (recoveries, last_error) = (Recoveries::default(), LastError::default());
        let library = Arc::new(Library::new(shard.clone(), followed.clone()));
        let common = Common {
            shard: shard.clone(),
            address: followed.clone(),
            answers,
            recoveries: recoveries.clone(),
            last_error: last_error.clone(),
        };
        let wire = |purpose| Upkeep::new(purpose, &common);
        let (subscribing, listening) = wire(Purpose::Subscribing);
        let (posting, post_upkeep) = wire(Purpose::Posting);
        let (reading, read_upkeep) = wire(Purpose::Reading);
        let (clock, primary) = (Clock::default(), Primary::new());
        let look = HeartbeatKind::Look { clock: clock.clone() };
        let probe = HeartbeatKind::Probe {
            channel: probe_channel.clone(),
            liveness: Arc::clone(&liveness),
            library: Arc::clone(&library),
        };
        let answering = |beat| Answering { beat, library: Arc::clone(&library), primary: primary.clone() };
        let work = futures_util::future::join4(
            resolve::follow(followed, told),
            listening.keep(Listening {
                probe_channel,
                audience_channel,
                liveness: Arc::clone(&liveness),
                events,
                primary: primary.clone(),
            }),
            post_upkeep.keep(answering(probe)),
            read_upkeep.keep(answering(look)),
        );
        let link = Self(Arc::new(Inner {
            shard,
            posting: FunctionCaller::of_writes(posting, Arc::clone(&library)),
            reading: FunctionCaller::of_reads(reading, library),
            subscribing,
            liveness,
            address,
            recoveries,
            last_error,
            clock,
            member,
            unkept_epoch: Epoch::random(),
            history_entries: i64::try_from(history_entries).unwrap_or(i64::MAX),
            history_ttl_ms: i64::try_from(history_ttl.as_millis()).unwrap_or(i64::MAX),
        }));
        Ok((link, heard, async { _ = Box::pin(work).await }))
    }

    /// How the link fares now.
    pub(in crate::shards) fn health(&self) -> LinkHealth {
        let Inner { posting, reading, subscribing, liveness, .. } = &*self.0;
        let probe = liveness.round_trip();
        let connected =
            [&posting.wire, &reading.wire, subscribing].iter().all(|wire| wire.living().is_some());
        LinkHealth {
            up: connected && probe.is_some(),
            probe,
            clients: liveness.clients(),
            conditions: liveness.conditions(),
            messages: liveness.messages.load(Relaxed),
            strangers: liveness.strangers.load(Relaxed),
            overrun: liveness.overrun.load(Relaxed),
            connections: liveness.connections.load(Relaxed),
        }
    }

    /// The shard's host and port.
    pub(in crate::shards) fn address(&self) -> String {
        self.0.address.borrow().place()
    }

    /// Takes another URL of the same shard: connections are made with it from now on, at once where one is missing, and
    /// those to another host, or with or without TLS, are replaced once the new place answers.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub(in crate::shards) fn set_url(&self, url: &str) -> Result<(), BadUrl> {
        self.0.address.send_replace(Address::parse(url)?);
        self.0.recoveries.announce();
        Ok(())
    }

    /// The reason for which the shard is down: the condition with which its server can be no shard, whatever error another
    /// connection met since, or the error with which a connection ended, or was not made, last.
    pub(in crate::shards) fn last_error(&self) -> String {
        let breaking = self.0.liveness.conditions().breaking();
        breaking.map_or_else(|| self.0.last_error.get(), |condition| condition.text().to_owned())
    }

    /// The shard's clock.
    pub(in crate::shards) fn clock(&self) -> Clock {
        self.0.clock.clone()
    }

    /// Begins or ends interest in streams on one connection; an error reply ends that connection.
    async fn set_interest(
        &self,
        life: &ConnectionEpoch,
        interest: SubscriptionChange,
        streams: &[StreamId],
    ) -> Result<(), Unavailable> {
        for batch in streams.chunks(BATCH) {
            let channels = batch.iter().map(keys::of_stream).collect();
            set_interest(&life.client, interest, channels).await.map_err(|error| {
                // Anything but silence is an error reply, after which the answers on this connection are one off.
                if !matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Backpressure) {
                    tracing::warn!(shard = self.0.shard, %error, ?interest, "subscription change refused");
                    life.give_up(&error);
                }
                Unavailable
            })?;
        }
        Ok(())
    }
}
