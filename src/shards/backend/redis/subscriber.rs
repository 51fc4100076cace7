//! The duty of the subscribing connection: hand on what comes, in order, and notice when nothing can come any more.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use fred::{
    clients::Client,
    interfaces::ClientLike,
    types::{Message, Value},
};
use tokio::{
    sync::{
        broadcast::{
            Receiver,
            error::{RecvError, TryRecvError},
        },
        mpsc,
    },
    time::{Instant, interval, sleep, timeout_at},
};

use super::{
    connection::{Connection, SubscriptionChange, set_interest},
    errors::refuses_writes,
    info::ServerInfo,
    keys,
    liveness::{BEAT_EVERY, DEAF_AFTER, Liveness},
    primary::Primary,
    replies,
    supervisor::{ConnectionEpoch, Duty},
};
use crate::shards::backend::types::Event;

/// How often it is looked whether the connection is deaf.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Losses within this time are told as one: who is told about each loses more.
const OVERRUN_EVERY: Duration = Duration::from_millis(100);

/// The most messages that are handed on together.
const BURST: usize = 64;

/// The subscribing connection.
pub(super) struct Listening {
    /// The pod's own channel.
    pub(super) probe_channel: String,
    /// The channel on which it is told how many watch its streams on other pods.
    pub(super) audience_channel: String,
    /// Where signs of life are noted.
    pub(super) liveness: Arc<Liveness>,
    /// Where messages go. A full channel makes this task wait; then fred's backlog overruns, and that is told.
    pub(super) events: mpsc::Sender<Event>,
    /// The server that posts go to.
    pub(super) primary: Primary,
}

impl Duty for Listening {
    async fn serve(
        &mut self,
        connection: Connection,
        life: ConnectionEpoch,
        lend: &(dyn Fn(ConnectionEpoch) + Sync),
    ) -> String {
        let Connection { client, mut messages, mut router, .. } = connection;
        let own = vec![self.probe_channel.clone(), self.audience_channel.clone()];
        // A user who may not ask for INFO does without.
        let info = ServerInfo::of(&client).await.ok();
        if let Err(error) = set_interest(&client, SubscriptionChange::Begin, own).await {
            return error.to_string();
        }
        self.liveness.hear();
        self.liveness.connections.fetch_add(1, Relaxed);
        self.tell(Event::Connected(life.id)).await;
        lend(life.clone());
        let cause = tokio::select! {
            biased;
            cause = life.over(&mut router) => cause,
            cause = self.until_deaf(&client) => cause,
            cause = self.primary.is_another_than(info.as_ref()) => cause,
            () = self.route(&mut messages) => "the keeper is gone".to_owned(),
        };
        drop(router);
        self.route_rest(messages).await;
        self.tell(Event::Disconnected).await;
        cause
    }
}

impl Listening {
    async fn tell(&self, event: Event) {
        // Without a keeper nobody needs to know.
        let _ = self.events.send(event).await;
    }

    /// Hands on messages for as long as they come.
    ///
    /// What is there already goes together: one look at the clock, and one at the keeper's room, for many messages.
    pub(super) async fn route(&self, messages: &mut Receiver<Message>) {
        let mut overrun_due = None;
        let mut burst = Vec::with_capacity(BURST);
        loop {
            let next = match overrun_due {
                None => messages.recv().await,
                Some(due) => match timeout_at(due, messages.recv()).await {
                    Ok(next) => next,
                    Err(_) => {
                        overrun_due = None;
                        self.tell(Event::Overrun).await;
                        continue;
                    }
                },
            };
            let lost = match next {
                Ok(message) => {
                    burst.extend(self.event_of(message));
                    self.take_ready(messages, &mut burst)
                }
                Err(RecvError::Lagged(lost)) => lost,
                Err(RecvError::Closed) => return,
            };
            if lost > 0 {
                self.liveness.overrun.fetch_add(lost, Relaxed);
                overrun_due.get_or_insert_with(|| Instant::now() + OVERRUN_EVERY);
            }
            self.hand_on(&mut burst).await;
        }
    }

    /// Takes what is there, up to a burst, and returns how many messages were lost before.
    fn take_ready(&self, messages: &mut Receiver<Message>, burst: &mut Vec<Event>) -> u64 {
        let mut all_lost = 0;
        for _ in 1..BURST {
            match messages.try_recv() {
                Ok(message) => burst.extend(self.event_of(message)),
                Err(TryRecvError::Lagged(lost)) => all_lost += lost,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        all_lost
    }

    /// Hands on what a connection still brought before its end.
    async fn route_rest(&self, mut messages: Receiver<Message>) {
        let mut burst = Vec::new();
        // What is lost here is looked for at the next connection, as everything of the time between is.
        while !messages.is_empty() {
            let lost = self.take_ready(&mut messages, &mut burst);
            self.liveness.overrun.fetch_add(lost, Relaxed);
            self.hand_on(&mut burst).await;
        }
    }

    async fn hand_on(&self, burst: &mut Vec<Event>) {
        self.liveness.hear();
        // Without a keeper nobody needs to know.
        if let Ok(places) = self.events.reserve_many(burst.len()).await {
            places.zip(burst.drain(..)).for_each(|(place, event)| place.send(event));
        }
        burst.clear();
    }

    /// What the keeper is told of a message, if it concerns it.
    fn event_of(&self, message: Message) -> Option<Event> {
        let channel: &str = &message.channel;
        if let Some(stream) = keys::stream_of(channel) {
            self.liveness.messages.fetch_add(1, Relaxed);
            let payload = match message.value {
                Value::String(text) => text.into_inner(),
                Value::Bytes(bytes) => bytes,
                _ => bytes::Bytes::new(),
            };
            return Some(Event::Message { stream, payload });
        }
        if channel == self.probe_channel {
            let payload = message.value.as_str();
            return self.liveness.probe_heard(payload.as_deref().unwrap_or_default()).map(Event::Probed);
        }
        if channel == self.audience_channel {
            return message.value.as_str().map(|payload| Event::Elsewhere(replies::elsewhere(&payload)));
        }
        self.liveness.strangers.fetch_add(1, Relaxed);
        None
    }

    /// Watches for deafness.
    async fn until_deaf(&self, client: &Client) -> String {
        let answered = std::sync::atomic::AtomicU64::new(0);
        let start = Instant::now();
        let pings = async {
            loop {
                let answer = Box::pin(client.ping::<Value>(None)).await;
                // A server whose disk fails refuses PING like a write, and lives.
                if answer.as_ref().err().is_none_or(refuses_writes) {
                    let since = start.elapsed().as_millis();
                    answered.store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
                }
                sleep(BEAT_EVERY).await;
            }
        };
        let looks = async {
            let mut ticks = interval(LOOK_EVERY);
            loop {
                ticks.tick().await;
                let answered = start + Duration::from_millis(answered.load(Relaxed));
                // A keeper that does not keep up is no fault of the connection.
                if self.events.capacity() > 0 && self.liveness.is_deaf(answered) {
                    return format!("no message and no probe for {DEAF_AFTER:?}");
                }
            }
        };
        tokio::select! {
            never = pings => never,
            cause = looks => cause,
        }
    }
}
