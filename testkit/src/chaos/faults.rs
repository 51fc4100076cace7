//! The kinds of faults, one line each in [`PlannedFault::strike`].

use std::time::{Duration, Instant};

use super::field::Field;
use crate::{Direction, Fault, Heater, RedisServer, Signal, clock_off_by, pause};

/// How long a pod may take to leave; it has 500 ms to settle and 3 s to drain.
const LEAVES: Duration = Duration::from_secs(15);

macro_rules! kinds {
    ($($kind:ident $name:literal)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $(#[doc = $name] $kind),* }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The kind as it is printed.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }
        }
    };
}

kinds! {
    RedisKilled "Redis: SIGKILL, and restart with its append-only file"
    RedisFrozen "Redis: SIGSTOP"
    RedisEmptied "Redis: restart without its files"
    RedisFlushed "Redis: FLUSHALL"
    RedisFailedOver "Redis: failover to a replica that lags"
    RedisDemoted "Redis: it is a replica for a while (READONLY)"
    RedisPaused "Redis: CLIENT PAUSE"
    RedisFull "Redis: out of memory (OOM)"
    RedisCrowded "Redis: no room for clients (maxclients)"
    SubscribeDenied "Redis: ACL denies SUBSCRIBE"
    FunctionsDenied "Redis: ACL denies FCALL"
    FunctionsFlushed "Redis: FUNCTION FLUSH"
    SubscribersKilled "Redis: CLIENT KILL TYPE pubsub, thrice"
    ClientsKilled "Redis: CLIENT KILL TYPE normal"
    BuffersCut "Redis: subscribers cut for their output buffers"
    LinkDelayed "pod to Redis: delay of 50 to 300 ms each way"
    LinkStalled "pod to Redis: stall"
    LinkDeaf "pod to Redis: what Redis says does not come"
    LinkCut "pod to Redis: cut at a byte, again and again"
    LinkHalfClosed "pod to Redis: half-close"
    LinkSlow "pod to Redis: 8 kB/s"
    LinkRefused "pod to Redis: connections refused"
    PodKilled "pod: SIGKILL, and another in its place"
    PodDrained "pod: SIGTERM, drain, and another in its place"
    PodFrozen "pod: SIGSTOP"
    PodHot "pod: busy with other work"
    PodClock "pod: SIGKILL, and one in its place whose clock is an hour off"
    ViewersCut "viewers: all behind the proxies cut at once"
    ViewersCutMid "viewers: cut at a byte, again and again"
    ViewersStalled "viewers: stall"
    ViewersSlow "viewers: 1 kB/s each"
    ViewersHalfClosed "viewers: half-close"
}

/// One fault: its kind, where, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlannedFault {
    pub(super) kind: Kind,
    pub(super) shard: usize,
    pub(super) place: usize,
    pub(super) hold: Duration,
    /// Whatever else of it is chance.
    pub(super) dice: u64,
}

impl PlannedFault {
    /// The shard that forgets what it acked, if one does.
    pub(super) fn forgets(&self) -> Option<usize> {
        let forgets = matches!(self.kind, Kind::RedisEmptied | Kind::RedisFlushed | Kind::RedisFailedOver);
        forgets.then_some(self.shard)
    }

    /// Whether it takes a pod from its place.
    pub(super) fn takes_pod(&self) -> bool {
        matches!(self.kind, Kind::PodKilled | Kind::PodDrained | Kind::PodClock)
    }

    /// Does it, and ends it; tells when it began. What is left is for the pods to heal, but for pods that are gone.
    pub(super) async fn strike(&self, field: &Field) -> Instant {
        let begun = Instant::now();
        match self.kind {
            Kind::RedisKilled | Kind::RedisFrozen | Kind::RedisEmptied => Box::pin(self.process(field)).await,
            Kind::RedisFailedOver => return Box::pin(self.fail_over(field)).await,
            Kind::RedisCrowded => Box::pin(self.crowd(field)).await,
            Kind::BuffersCut => Box::pin(self.cut_buffers(field)).await,
            kind if kind <= Kind::ClientsKilled => Box::pin(self.commands(field)).await,
            kind if kind <= Kind::LinkRefused => self.link(field).await,
            kind if kind <= Kind::PodClock => Box::pin(self.pod(field)).await,
            _ => self.viewers(field).await,
        }
        begun
    }

    async fn hold(&self) {
        pause(self.hold).await;
    }

    /// What happens to a process.
    async fn process(&self, field: &Field) {
        match self.kind {
            Kind::RedisKilled => {
                field.redis(self.shard, RedisServer::crash).await;
                self.hold().await;
                field.redis(self.shard, RedisServer::restart).await;
            }
            Kind::RedisFrozen => {
                field.redis(self.shard, |redis| redis.freeze()).await;
                self.hold().await;
                field.redis(self.shard, |redis| redis.thaw()).await;
            }
            _ => {
                field.redis(self.shard, RedisServer::crash).await;
                field.redis(self.shard, RedisServer::lose_files).await;
                self.hold().await;
                field.redis(self.shard, RedisServer::restart).await;
            }
        }
    }

    /// What one command begins and another ends; those with one heal at once.
    async fn commands(&self, field: &Field) {
        let tell = async |command: &'static [&'static str]| {
            field.redis(self.shard, |redis| redis.cli(command)).await;
        };
        let (begin, end): (&'static [&'static str], &'static [&'static str]) = match self.kind {
            Kind::RedisFlushed => return tell(&["FLUSHALL"]).await,
            Kind::FunctionsFlushed => return tell(&["FUNCTION", "FLUSH"]).await,
            Kind::ClientsKilled => return tell(&["CLIENT", "KILL", "TYPE", "normal"]).await,
            Kind::SubscribersKilled => {
                for _ in 0..3 {
                    tell(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
                    pause(Duration::from_millis(200)).await;
                }
                return;
            }
            Kind::RedisPaused => {
                let time = self.hold.as_millis().to_string();
                field.redis(self.shard, move |redis| redis.cli(&["CLIENT", "PAUSE", &time, "ALL"])).await;
                return self.hold().await;
            }
            Kind::RedisDemoted => (&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"]),
            Kind::RedisFull => (&["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "0"]),
            Kind::SubscribeDenied => {
                (&["ACL", "SETUSER", "default", "-subscribe"], &["ACL", "SETUSER", "default", "+subscribe"])
            }
            _ => (&["ACL", "SETUSER", "default", "-fcall"], &["ACL", "SETUSER", "default", "+fcall"]),
        };
        tell(begin).await;
        if self.kind == Kind::SubscribeDenied {
            tell(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        }
        self.hold().await;
        tell(end).await;
    }

    /// A replica follows, stops following, and takes the primary's place half a second later, which is when it begins.
    async fn fail_over(&self, field: &Field) -> Instant {
        let port = field.server_address(self.shard).port().to_string();
        let follow = move || {
            let replica = RedisServer::durable();
            replica.cli(&["REPLICAOF", "127.0.0.1", &port]);
            replica
        };
        let replica = tokio::task::spawn_blocking(follow).await.unwrap();
        let begun = Instant::now();
        let follows = |replica: &RedisServer| {
            replica.cli(&["INFO", "replication"]).contains("master_link_status:up")
                && replica.cli(&["INFO", "persistence"]).contains("aof_rewrite_in_progress:0")
        };
        while !follows(&replica) && begun.elapsed() < Duration::from_secs(10) {
            pause(Duration::from_millis(50)).await;
        }
        replica.cli(&["REPLICAOF", "NO", "ONE"]);
        pause(Duration::from_millis(500)).await;
        let begun = Instant::now();
        field.redis(self.shard, |redis| redis.fail_over(replica)).await;
        begun
    }

    /// The server takes one client, which is this test.
    async fn crowd(&self, field: &Field) {
        let hold = self.hold;
        let mut console = field.redis(self.shard, |redis| redis.console()).await;
        let begin = move || {
            for line in
                ["CONFIG SET maxclients 1", "CLIENT KILL TYPE pubsub", "CLIENT KILL TYPE normal SKIPME yes"]
            {
                console.ask(line);
            }
            console
        };
        let mut console = tokio::task::spawn_blocking(begin).await.unwrap();
        pause(hold).await;
        let end = move || console.ask("CONFIG SET maxclients 10000");
        tokio::task::spawn_blocking(end).await.unwrap();
    }

    /// Messages that are larger than what a subscriber may have waiting.
    async fn cut_buffers(&self, field: &Field) {
        let flood = |redis: &mut RedisServer| {
            let limit = "client-output-buffer-limit";
            redis.cli(&["CONFIG", "SET", limit, "pubsub 50000 0 0"]);
            let large = "x".repeat(100_000);
            let channels = redis.cli(&["PUBSUB", "CHANNELS", "ff:*"]);
            for channel in channels.lines().take(20) {
                redis.cli(&["PUBLISH", channel, &large]);
            }
            redis.cli(&["CONFIG", "SET", limit, "pubsub 33554432 8388608 60"]);
        };
        field.redis(self.shard, flood).await;
    }

    /// What happens on the way from one pod to one shard.
    async fn link(&self, field: &Field) {
        let link = field.link(self.shard, self.place);
        let few = |most: u64| usize::try_from(self.dice % most).unwrap();
        match self.kind {
            Kind::LinkDelayed => {
                let later = Duration::from_millis(50 + self.dice % 250);
                link.inject(Direction::ToServer, Fault::Delay(later));
                link.inject(Direction::ToClient, Fault::Delay(later));
            }
            Kind::LinkStalled => {
                link.inject(Direction::ToServer, Fault::Stall);
                link.inject(Direction::ToClient, Fault::Stall);
            }
            Kind::LinkDeaf => link.inject(Direction::ToClient, Fault::Stall),
            Kind::LinkCut => link.inject(Direction::ToClient, Fault::CutAfter(1 + few(5_000))),
            Kind::LinkHalfClosed => link.inject(Direction::ToClient, Fault::HalfClose),
            Kind::LinkSlow => link.inject(Direction::ToClient, Fault::Rate(8_000)),
            _ => link.cut_off(),
        }
        self.hold().await;
        link.clear();
        link.lead_to(field.server_address(self.shard));
    }

    async fn pod(&self, field: &Field) {
        match self.kind {
            Kind::PodFrozen => {
                let Some(pod) = field.pod(self.place) else { return };
                pod.signal(Signal::Stop);
                self.hold().await;
                pod.signal(Signal::Cont);
            }
            Kind::PodHot => {
                let Some(pod) = field.pod(self.place) else { return };
                let heater = Heater::on(&pod);
                self.hold().await;
                tokio::task::spawn_blocking(move || drop(heater)).await.unwrap();
            }
            Kind::PodDrained => {
                let pod = field.take_pod(self.place);
                pod.signal(Signal::Term);
                assert_eq!(pod.exit(LEAVES).await, Some(0), "a drained pod leaves with 0");
            }
            kind => {
                let pod = field.take_pod(self.place);
                pod.signal(Signal::Kill);
                tokio::task::spawn_blocking(move || drop(pod)).await.unwrap();
                if kind == Kind::PodClock {
                    let offset = if self.dice.is_multiple_of(2) { "+1h" } else { "-1h" };
                    field.start_pod(self.place, &clock_off_by(offset)).await;
                }
            }
        }
    }

    /// What happens to the viewers of a pod that come by its door.
    async fn viewers(&self, field: &Field) {
        let door = &field.places[self.place].door;
        match self.kind {
            Kind::ViewersCut => return field.places.iter().for_each(|place| place.door.cut()),
            Kind::ViewersCutMid => {
                let bytes = 1 + usize::try_from(self.dice % 1_000).unwrap();
                door.inject(Direction::ToClient, Fault::CutAfter(bytes));
            }
            Kind::ViewersStalled => {
                door.inject(Direction::ToClient, Fault::Stall);
                door.inject(Direction::ToServer, Fault::Stall);
            }
            Kind::ViewersSlow => door.inject(Direction::ToClient, Fault::Rate(1_000)),
            _ => door.inject(Direction::ToServer, Fault::HalfClose),
        }
        self.hold().await;
        door.clear();
    }
}
