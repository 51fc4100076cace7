//! The duty of the connections that answer: a heart that beats, and an end when it gets no answer.

use std::sync::Arc;

use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::{ClientLike, PubsubInterface},
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{
    connection::{Connection, command},
    errors::{ends_connection, is_unusable},
    functions::Library,
    info::ServerInfo,
    liveness::{BEAT_EVERY, DEAF_AFTER, Liveness},
    primary::Primary,
    supervisor::{ConnectionEpoch, Duty},
};
use crate::shards::backend::{
    clock::Clock,
    condition::{Condition, Conditions},
};

/// What a heart sends.
pub(super) enum HeartbeatKind {
    /// Asks for the time: whether somebody is there shows in passing.
    Look {
        /// Where the time is noted.
        clock: Clock,
    },
    /// Says something to this pod itself, so that the subscribing connection has something to hear, and asks the server
    /// for its account of itself now and then.
    Probe {
        /// The pod's own channel.
        channel: String,
        /// Where it is noted.
        liveness: Arc<Liveness>,
        /// The shard, for the log.
        library: Arc<Library>,
    },
}

impl HeartbeatKind {
    async fn once(&self, client: &Client) -> Result<(), Error> {
        match self {
            Self::Look { clock } => Box::pin(look_at_clock(client, clock)).await,
            Self::Probe { channel, liveness, library } => {
                let _receivers: i64 =
                    Box::pin(client.publish(channel.as_str(), liveness.probe().as_str())).await?;
                liveness.probe_taken();
                if liveness.is_info_due() {
                    let before = liveness.conditions();
                    let refuses = library.is_refused(client).await;
                    let refuses = refuses.unwrap_or_else(|| before.has(Condition::RefusesFunctions));
                    liveness.note_info(&ServerInfo::of(client).await?, refuses);
                    library.log_conditions(before, liveness.conditions());
                }
                Ok(())
            }
        }
    }

    /// Records the account of the server that posts go to, or that it gave none, and whether it refuses every function.
    ///
    /// # Errors
    /// The condition with which the server can be no shard.
    fn meet(&self, info: Option<&ServerInfo>, refuses_functions: bool) -> Result<(), Condition> {
        let Self::Probe { liveness, library, .. } = self else { return Ok(()) };
        let before = liveness.conditions();
        liveness.note_info(info.unwrap_or(&ServerInfo::default()), refuses_functions);
        library.log_conditions(before, liveness.conditions());
        liveness.conditions().breaking().map_or(Ok(()), Err)
    }

    /// The condition with which the server that posts go to can be no shard, as of the last look.
    fn breaking(&self) -> Option<Condition> {
        match self {
            Self::Look { .. } => None,
            Self::Probe { liveness, .. } => liveness.conditions().breaking(),
        }
    }

    /// Beats until no answer came for too long, or an answer says that the connection is of no use.
    pub(super) async fn until_silence(&self, client: &Client) -> String {
        let mut ticks = interval(BEAT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut answered = Instant::now();
        loop {
            ticks.tick().await;
            let result = tokio::select! {
                result = self.once(client) => result,
                () = sleep_until(answered + DEAF_AFTER) => return format!("no answer for {DEAF_AFTER:?}"),
            };
            match result {
                Ok(()) => {
                    answered = Instant::now();
                    if let Some(condition) = self.breaking() {
                        return condition.text().to_owned();
                    }
                }
                Err(error) if ends_connection(&error) => return error.to_string(),
                // Any reply is a sign of life; only a time-out is none.
                Err(error) if *error.kind() != ErrorKind::Timeout => answered = Instant::now(),
                Err(_) => {}
            }
        }
    }
}

async fn look_at_clock(client: &Client, clock: &Clock) -> Result<(), Error> {
    let asked = std::time::Instant::now();
    let (seconds, micros): (i64, i64) = client.custom(command("TIME"), Vec::<&str>::new()).await?;
    clock.look(seconds.saturating_mul(1_000_000).saturating_add(micros), asked.elapsed());
    Ok(())
}

/// A connection for posting or reading.
pub(super) struct Answering {
    /// What keeps it alive.
    pub(super) beat: HeartbeatKind,
    /// What the server must know before anybody calls a function.
    pub(super) library: Arc<Library>,
    /// The server that posts go to: told by the connection for posts, followed by the others.
    pub(super) primary: Primary,
}

impl Answering {
    /// Looks at the server before anybody uses the connection, and loads the functions where it lacks them.
    ///
    /// # Errors
    /// The server does not answer, or the connection is for posts and the server can be no shard: the reason, in words.
    async fn meet(&self, client: &Client) -> Result<Option<ServerInfo>, String> {
        let info = match ServerInfo::of(client).await {
            Ok(info) => Some(info),
            Err(error) if is_unusable(&error) => return Err(error.to_string()),
            // Whoever may not ask does without.
            Err(_) => None,
        };
        let can_be_shard =
            info.as_ref().is_none_or(|info| info.conditions(Conditions::default()).breaking().is_none());
        let refuses = if can_be_shard { self.library.offer(client).await } else { None };
        self.beat
            .meet(info.as_ref(), refuses == Some(true))
            .map_err(|condition| condition.text().to_owned())?;
        Ok(info)
    }
}

impl Duty for Answering {
    async fn serve(
        &mut self,
        connection: Connection,
        life: ConnectionEpoch,
        lend: &(dyn Fn(ConnectionEpoch) + Sync),
    ) -> String {
        let Connection { client, mut router, .. } = connection;
        let info = match self.meet(&client).await {
            Ok(info) => info,
            Err(cause) => return cause,
        };
        if let HeartbeatKind::Look { clock } = &self.beat {
            // Whoever reads a time of this server knows its clock.
            clock.forget_looks();
            if let Err(error) = Box::pin(look_at_clock(&client, clock)).await
                && is_unusable(&error)
            {
                return error.to_string();
            }
        }
        lend(life.clone());
        if let (HeartbeatKind::Probe { .. }, Some(info)) = (&self.beat, &info) {
            self.primary.found(info);
        }
        tokio::select! {
            cause = life.over(&mut router) => cause,
            cause = self.beat.until_silence(&client) => cause,
            cause = self.primary.is_another_than(info.as_ref()) => cause,
        }
    }
}
