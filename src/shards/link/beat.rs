//! The duty of the connections that answer: a heart that beats, and an end when it gets no answer.

use std::sync::Arc;

use fred::{
    clients::Client,
    error::Error,
    interfaces::{ClientLike, PubsubInterface},
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{
    connection::{Connection, command},
    faults::{Remedy, remedy},
    functions::Library,
    pulse::{BEAT_EVERY, DEAF_AFTER, Pulse},
    wire::{Duty, Life},
};
use crate::shards::clock::Clock;

/// What a heart sends.
pub(super) enum Beat {
    /// Asks for the time, and now and then how many clients there are: whether somebody is there shows in passing.
    Look {
        /// Where the time is noted.
        clock: Clock,
        /// Where the clients are noted.
        pulse: Arc<Pulse>,
    },
    /// Says something to this pod itself, so that the subscribing connection has something to hear.
    Probe {
        /// The pod's own channel.
        channel: String,
        /// Where it is noted.
        pulse: Arc<Pulse>,
    },
}

impl Beat {
    async fn once(&self, client: &Client) -> Result<(), Error> {
        match self {
            Self::Look { clock, pulse } => {
                Box::pin(look_at_clock(client, clock)).await?;
                if pulse.is_census_due() {
                    let info: String = Box::pin(client.custom(command("INFO"), vec!["clients"])).await?;
                    pulse.take_census(&info);
                }
                Ok(())
            }
            Self::Probe { channel, pulse } => {
                let _receivers: i64 =
                    Box::pin(client.publish(channel.as_str(), pulse.probe().as_str())).await?;
                pulse.probe_taken();
                Ok(())
            }
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
                () = sleep_until(answered + DEAF_AFTER) => return "it does not answer".to_owned(),
            };
            match result {
                Ok(()) => answered = Instant::now(),
                Err(error) if remedy(&error) == Remedy::Reconnect => return error.to_string(),
                // Any reply is a sign of life; only a time-out is none.
                Err(error) if *error.kind() != fred::error::ErrorKind::Timeout => answered = Instant::now(),
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
    pub(super) beat: Beat,
    /// What the server must know before anybody calls a function.
    pub(super) library: Arc<Library>,
}

impl Duty for Answering {
    async fn serve(&mut self, connection: Connection, life: Life, lend: &(dyn Fn(Life) + Sync)) -> String {
        let Connection { client, mut router, .. } = connection;
        self.library.offer(&client).await;
        lend(life.clone());
        tokio::select! {
            cause = life.over(&mut router) => cause,
            cause = self.beat.until_silence(&client) => cause,
        }
    }
}
