//! The link to one shard: a Redis, seen through three connections, so that a slow read never delays a post.
//!
//! Only this file and those beside it in `link/` know fred, and only `deploy/redis/fanfare.lua` knows the keys.
//! Everything is bounded: commands that wait for the socket (4,096), messages that wait to be routed (16,384), events
//! that wait for the keeper (16,384, about 10 MiB with small comments). What overflows is refused, or lost and told.

mod beat;
mod connection;
mod faults;
mod functions;
mod listen;
mod names;
mod pulse;
mod replies;
#[cfg(test)]
mod tests;
mod wire;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use fred::{error::ErrorKind, types::Value};
use tokio::sync::mpsc;

pub(super) use self::connection::BadUrl;
use self::{
    beat::{Answering, Beat},
    connection::{Address, Interest, set_interest},
    functions::{Caller, Library, call_of},
    listen::Listening,
    pulse::Pulse,
    wire::{Life, Upkeep, Wire},
};
use super::clock::Clock;
use super::revocations::{MOST, Revocation};
use super::shard::{ConnectionId, Event, Post, Span, Tally, Unavailable, Window};
use crate::{
    domain::{Accepted, Epoch, Kind, Position, PublishError, StreamId},
    readiness::{FleetView, Heartbeat, Wish},
};

/// How many channels one SUBSCRIBE or UNSUBSCRIBE names, and how many heads are asked for at once.
const BATCH: usize = 500;
/// How many messages wait to be routed, and how many events wait for the keeper.
const BACKLOG: usize = 16_384;
/// The connections that only answer need no room for messages.
const NO_BACKLOG: usize = 1;

/// Whether a URL can be a shard's.
///
/// # Errors
/// [`BadUrl`].
pub(super) fn check_url(url: &str) -> Result<(), BadUrl> {
    Address::parse(url).map(drop)
}

/// What a link must know.
#[derive(Clone)]
pub(super) struct LinkSettings {
    /// The shard's name, for the log.
    pub(super) shard: String,
    /// Its URL, credentials included: this is never logged.
    pub(super) url: String,
    /// This pod's name.
    pub(super) pod: String,
    /// About how many entries a stream's history keeps.
    pub(super) history_entries: usize,
    /// How long a stream's history outlives its last entry and its last viewer.
    pub(super) history_ttl: Duration,
}

/// What the shard tells its keeper; when the keeper is slow, messages wait here, then are lost and [`Event::Overrun`].
pub(super) type Events = mpsc::Receiver<Event>;

/// How a link fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Health {
    /// All three connections live, and the last probe came back lately.
    pub(super) up: bool,
    /// The last probe's round trip, if it came back lately.
    pub(super) probe: Option<Duration>,
    /// Connections of all clients to the shard, and how many it takes; none until it said so.
    pub(super) clients: Option<(u64, u64)>,
    /// Messages that came for streams since the start.
    pub(super) messages: u64,
    /// Messages on channels that are not ours.
    pub(super) strangers: u64,
    /// Messages lost because this pod did not keep up.
    pub(super) overrun: u64,
    /// Subscribing connections made since the start.
    pub(super) connections: u64,
}

/// A shard on Redis.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    posting: Caller,
    reading: Caller,
    subscribing: Wire,
    pulse: Arc<Pulse>,
    clock: Clock,
    history_entries: i64,
    history_ttl_ms: i64,
}

impl Link {
    /// A link, what it hears, and the work of keeping it up, for the caller to run: the link answers
    /// [`Unavailable`] while nobody does, and its connections are closed when that future is dropped.
    ///
    /// # Errors
    /// [`BadUrl`]: the operator's mistake. A shard that cannot be reached is no error here.
    pub(super) fn start(
        settings: LinkSettings,
    ) -> Result<(Self, Events, impl Future<Output = ()> + Send + 'static), BadUrl> {
        let LinkSettings { shard, url, pod, history_entries, history_ttl } = settings;
        let address = Address::parse(&url)?;
        let probe_channel = names::of_probe(&pod);
        let (pulse, library) = (Arc::new(Pulse::new()), Arc::new(Library::new(shard.clone())));
        let (events, heard) = mpsc::channel(BACKLOG);
        let (subscribing, listening) = Upkeep::new("subscribing", &shard, address.clone(), BACKLOG);
        let (posting, post_upkeep) = Upkeep::new("posting", &shard, address.clone(), NO_BACKLOG);
        let (reading, read_upkeep) = Upkeep::new("reading", &shard, address, NO_BACKLOG);
        let clock = Clock::default();
        let look = Beat::Look { clock: clock.clone(), pulse: Arc::clone(&pulse) };
        let probe = Beat::Probe { channel: probe_channel.clone(), pulse: Arc::clone(&pulse) };
        let answering = |beat| Answering { beat, library: Arc::clone(&library) };
        let work = futures_util::future::join3(
            listening.keep(Listening { probe_channel, pulse: Arc::clone(&pulse), events }),
            post_upkeep.keep(answering(probe)),
            read_upkeep.keep(answering(look)),
        );
        let caller = |wire| Caller::new(wire, Arc::clone(&library));
        let link = Self(Arc::new(Inner {
            posting: caller(posting),
            reading: caller(reading),
            subscribing,
            pulse,
            clock,
            history_entries: i64::try_from(history_entries).unwrap_or(i64::MAX),
            history_ttl_ms: i64::try_from(history_ttl.as_millis()).unwrap_or(i64::MAX),
        }));
        Ok((link, heard, async { _ = Box::pin(work).await }))
    }

    /// How the link fares now.
    pub(super) fn health(&self) -> Health {
        let Inner { posting, reading, subscribing, pulse, .. } = &*self.0;
        let probe = pulse.round_trip();
        let connected =
            [&posting.wire, &reading.wire, subscribing].iter().all(|wire| wire.living().is_some());
        Health {
            up: connected && probe.is_some(),
            probe,
            clients: pulse.clients(),
            messages: pulse.messages.load(Relaxed),
            strangers: pulse.strangers.load(Relaxed),
            overrun: pulse.overrun.load(Relaxed),
            connections: pulse.connections.load(Relaxed),
        }
    }

    /// The shard's clock.
    pub(super) fn clock(&self) -> Clock {
        self.0.clock.clone()
    }

    /// Begins or ends interest in streams on one connection; an error reply ends that connection.
    async fn set_interest(
        &self,
        life: &Life,
        interest: Interest,
        streams: &[StreamId],
    ) -> Result<(), Unavailable> {
        for batch in streams.chunks(BATCH) {
            let channels = batch.iter().map(names::of_stream).collect();
            set_interest(&life.client, interest, channels).await.map_err(|error| {
                // Anything but silence is an error reply, after which the answers on this connection are one off.
                if !matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Backpressure) {
                    tracing::warn!(%error, ?interest, "the shard refused to change subscriptions");
                    life.give_up();
                }
                Unavailable
            })?;
        }
        Ok(())
    }
}

/// The operations of a shard. Each answers within about a second, or says [`Unavailable`].
impl Link {
    /// Gives a comment its place, in one atomic step.
    ///
    /// # Errors
    /// [`PublishError`]; after `Unavailable` the comment may or may not be in the stream.
    pub(super) async fn publish(&self, stream: &StreamId, post: Post) -> Result<Accepted, PublishError> {
        let Inner { posting, history_entries, history_ttl_ms, .. } = &*self.0;
        let trace = post.trace.as_ref().map(names::of_trace);
        let keys: Vec<_> = [names::of_stream(stream)].into_iter().chain(trace).collect();
        let args = || {
            let mut args: Vec<Value> = vec![
                post.ring_epoch.to_string().into(),
                post.candidate_epoch.as_str().into(),
                post.id.as_str().into(),
                post.kind.name().into(),
                post.accepted_at_ms.to_string().into(),
                Value::Bytes(post.fragment.bytes().clone()),
                (*history_entries).into(),
                (*history_ttl_ms).into(),
            ];
            if let Some(key) = &post.key {
                // An id has no newline: whatever the owner's name holds, its end is where the last one is.
                args.push(format!("{}\n{}", key.owner, key.id.as_str()).into());
                args.push(format!("{:016x}", key.digest).into());
            }
            call_of("fanfare_publish", &keys, args)
        };
        replies::accepted(posting.call(args).await.map_err(|Unavailable| PublishError::Unavailable)?)
    }

    /// Reads a part of the history; a stream without one gets `candidate` as its epoch.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(super) async fn read(
        &self,
        stream: &StreamId,
        span: Span,
        candidate: Epoch,
    ) -> Result<Window, Unavailable> {
        let keys = [names::of_stream(stream)];
        let args = || {
            let args = vec![
                span.after_seq.to_string().into(),
                i64::try_from(span.newest).unwrap_or(i64::MAX).into(),
                candidate.as_str().into(),
                self.0.history_ttl_ms.into(),
            ];
            call_of("fanfare_read", &keys, args)
        };
        replies::window(self.0.reading.call(args).await?)
    }

    /// Where the order of each stream stands; none for a stream without a history.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(super) async fn heads(&self, streams: &[StreamId]) -> Result<Vec<Option<Position>>, Unavailable> {
        let mut heads = Vec::with_capacity(streams.len());
        for batch in streams.chunks(BATCH) {
            let keys: Vec<String> = batch.iter().map(names::of_stream).collect();
            let args = || call_of("fanfare_heads", &keys, vec![self.0.history_ttl_ms.into()]);
            heads.extend(replies::heads(self.0.reading.call(args).await?, batch.len())?);
        }
        Ok(heads)
    }

    /// How many comments the stream's history took; none for a stream without one.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(super) async fn tally(&self, stream: &StreamId) -> Result<Option<Tally>, Unavailable> {
        let keys = [names::of_stream(stream)];
        let kinds = [Kind::Comment, Kind::Gift, Kind::Follow, Kind::Mission];
        let args = || call_of("fanfare_tally", &keys, kinds.iter().map(|kind| kind.name().into()).collect());
        replies::tally(self.0.reading.call(args).await?)
    }

    /// Tells the pods of a track how this one fares, and asks for what it wishes, in one atomic step.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(super) async fn beat(&self, beat: &Heartbeat, ring_epoch: u64) -> Result<FleetView, Unavailable> {
        let keys = [names::of_fleet(&beat.track)];
        let args = || {
            let wish = match beat.wish {
                Wish::Stay => "stay",
                Wish::Leave => "leave",
                Wish::Gone => "gone",
            };
            let args = vec![
                beat.pod.as_str().into(),
                wish.into(),
                format!("{:.3}", beat.cpu).into(),
                format!("{:.3}", beat.high).into(),
                beat.viewers.to_string().into(),
                i64::from(beat.ready).into(),
                ring_epoch.to_string().into(),
            ];
            call_of("fanfare_beat", &keys, args)
        };
        replies::fleet(self.0.reading.call(args).await?)
    }

    /// Keeps a revocation of a user's tokens, for as long as tokens live.
    ///
    /// # Errors
    /// [`Unavailable`]: it may be kept or not.
    pub(super) async fn revoke(&self, user: &str, keep: Duration) -> Result<(), Unavailable> {
        let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let args =
            || call_of("fanfare_revoke", &[names::REVOKED.to_owned()], vec![user.into(), keep_ms.into()]);
        self.0.reading.call(args).await.map(drop)
    }

    /// The next revocations after a place.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(super) async fn revocations(&self, after: &str) -> Result<Vec<Revocation>, Unavailable> {
        let most = i64::try_from(MOST).unwrap_or(i64::MAX);
        let args =
            || call_of("fanfare_revoked", &[names::REVOKED.to_owned()], vec![after.into(), most.into()]);
        replies::revocations(self.0.reading.call(args).await?)
    }

    /// Subscribes to streams; the answer names the connection on which all of them are now in force.
    ///
    /// # Errors
    /// [`Unavailable`]: some of them may be in force.
    pub(super) async fn subscribe(&self, streams: &[StreamId]) -> Result<ConnectionId, Unavailable> {
        let life = self.0.subscribing.life().await?;
        self.set_interest(&life, Interest::Begin, streams).await?;
        Ok(life.id)
    }

    /// Ends subscriptions.
    ///
    /// # Errors
    /// [`Unavailable`]: some of them may be in force still.
    pub(super) async fn unsubscribe(&self, streams: &[StreamId]) -> Result<(), Unavailable> {
        match self.0.subscribing.living() {
            Some(life) => self.set_interest(&life, Interest::End, streams).await,
            // Subscriptions end with their connection.
            None => Ok(()),
        }
    }
}
