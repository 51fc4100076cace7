//! Signs of life of a shard: what was sent to it, what was heard from it, and how long the probe took.

use std::{
    sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

use super::info::ServerInfo;
use crate::shards::backend::condition::{Condition, Conditions};

/// How long a shard may be silent on a connection before the connection is made anew.
///
/// The promise is to notice within 3 s; the difference is for the steps between looks.
pub(super) const DEAF_AFTER: Duration = Duration::from_millis(2500);
/// How often a heart beats on each connection.
pub(super) const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How long a probe that Redis took may be on its way back.
const DELIVERY: Duration = Duration::from_millis(500);

/// How many beats there are to one look at the server's account of itself.
const INFO_EVERY: u64 = 10;

/// What a link knows about its shard, and what it has counted; times are in microseconds since the link's start.
#[derive(Debug)]
pub(super) struct Liveness {
    start: Instant,
    /// Tells our probes from those of another pod with our name.
    nonce: u64,
    heard: AtomicU64,
    probe_taken: AtomicU64,
    probe_heard: AtomicU64,
    probe_took: AtomicU64,
    beats: AtomicU64,
    clients: AtomicU64,
    /// 0 until the shard has told.
    max_clients: AtomicU64,
    conditions: AtomicU8,
    /// Messages that came, probes not among them.
    pub(super) messages: AtomicU64,
    /// Messages on channels that are not ours.
    pub(super) strangers: AtomicU64,
    /// Messages that were lost between the connection and the keeper.
    pub(super) overrun: AtomicU64,
    /// Subscribing connections made.
    pub(super) connections: AtomicU64,
}

impl Liveness {
    /// A shard that nothing was heard of yet.
    pub(super) fn new() -> Self {
        let zero = AtomicU64::default;
        Self {
            start: Instant::now(),
            nonce: rand::random(),
            heard: zero(),
            probe_taken: zero(),
            probe_heard: zero(),
            probe_took: zero(),
            beats: zero(),
            clients: zero(),
            max_clients: zero(),
            conditions: AtomicU8::default(),
            messages: zero(),
            strangers: zero(),
            overrun: zero(),
            connections: zero(),
        }
    }

    fn now(&self) -> u64 {
        // At least 1, so that 0 means never.
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    }

    /// Something came on the subscribing connection, or it is new.
    pub(super) fn hear(&self) {
        self.heard.store(self.now(), Relaxed);
    }

    /// What the next probe says.
    pub(super) fn probe(&self) -> String {
        format!("{} {}", self.nonce, self.now())
    }

    /// Redis took a probe.
    pub(super) fn probe_taken(&self) {
        self.probe_taken.store(self.now(), Relaxed);
    }

    /// A probe came back, ours or that of a pod with our name. Returns how long ours took.
    pub(super) fn probe_heard(&self, payload: &str) -> Option<Duration> {
        let (nonce, sent) = payload.split_once(' ')?;
        let sent: u64 = (nonce.parse() == Ok(self.nonce)).then(|| sent.parse().ok()).flatten()?;
        let now = self.now();
        let took = now.saturating_sub(sent);
        self.probe_heard.store(now, Relaxed);
        self.probe_took.store(took, Relaxed);
        Some(Duration::from_micros(took))
    }

    /// Whether it is time to ask the server for its account of itself.
    pub(super) fn is_info_due(&self) -> bool {
        self.beats.fetch_add(1, Relaxed) % INFO_EVERY == INFO_EVERY - 1
    }

    /// Records a server's account of itself, and whether it refuses every function.
    pub(super) fn note_info(&self, info: &ServerInfo, refuses_functions: bool) {
        let conditions = info.conditions(self.conditions());
        self.conditions.store(conditions.with(Condition::RefusesFunctions, refuses_functions).0, Relaxed);
        if let Some((clients, most)) = info.clients {
            self.clients.store(clients, Relaxed);
            self.max_clients.store(most, Relaxed);
        }
    }

    /// The conditions of the server that posts go to.
    pub(super) fn conditions(&self) -> Conditions {
        Conditions(self.conditions.load(Relaxed))
    }

    /// Connections of all clients to the shard, and how many it takes.
    pub(super) fn clients(&self) -> Option<(u64, u64)> {
        let most = self.max_clients.load(Relaxed);
        (most > 0).then(|| (self.clients.load(Relaxed), most))
    }

    /// Whether the subscribing connection must be taken for deaf; `answered` is when it last answered a PING.
    ///
    /// A probe that Redis took and did not deliver says so, also where PING is answered: the subscription may live on
    /// a server that is not the primary any more. With no probe taken the posting connection may be to blame, and
    /// then PING decides.
    pub(super) fn is_deaf(&self, answered: Instant) -> bool {
        let (now, heard, taken) = (self.now(), self.heard.load(Relaxed), self.probe_taken.load(Relaxed));
        if Duration::from_micros(now.saturating_sub(heard)) < DEAF_AFTER {
            return false;
        }
        let undelivered = taken > heard && Duration::from_micros(now.saturating_sub(taken)) >= DELIVERY;
        undelivered || answered.elapsed() >= DEAF_AFTER
    }

    /// The last probe's round trip, if it came back lately.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        let heard = self.probe_heard.load(Relaxed);
        let fresh = heard > 0 && Duration::from_micros(self.now().saturating_sub(heard)) < DEAF_AFTER;
        fresh.then(|| Duration::from_micros(self.probe_took.load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    #[tokio::test(start_paused = true)]
    async fn g9_silence_after_a_taken_probe_is_deafness() {
        let liveness = Liveness::new();
        liveness.hear();
        advance(DEAF_AFTER - STEP).await;
        liveness.probe_taken();
        assert!(!liveness.is_deaf(Instant::now()));
        advance(STEP).await;
        assert!(!liveness.is_deaf(Instant::now()), "the probe may be on its way");
        advance(DELIVERY).await;
        assert!(liveness.is_deaf(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn with_no_probe_taken_the_ping_decides() {
        let liveness = Liveness::new();
        liveness.hear();
        let answered = Instant::now();
        advance(DEAF_AFTER + STEP).await;
        assert!(!liveness.is_deaf(Instant::now()));
        assert!(liveness.is_deaf(answered));
    }

    #[tokio::test(start_paused = true)]
    async fn only_our_own_fresh_probe_tells_the_round_trip() {
        let liveness = Liveness::new();
        advance(STEP).await;
        let probe = liveness.probe();
        for stranger in ["", "x", "1 2", "1 x", " "] {
            liveness.probe_heard(stranger);
        }
        assert_eq!(liveness.round_trip(), None);
        advance(STEP).await;
        liveness.probe_heard(&probe);
        assert_eq!(liveness.round_trip(), Some(STEP));
        advance(DEAF_AFTER).await;
        assert_eq!(liveness.round_trip(), None);
    }
}
