//! How often somebody may do something: by viewer, user, address and stream, in memory that does not grow.
//!
//! Each limit is a rate and a burst (GCRA: a cell holds the moment at which its owner has used nothing). A socket's own
//! cells lie with the socket. The others lie in one table of a fixed size.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::Deserialize;

use super::{
    Refusal, StreamId,
    json::{object, optional_object, read_object},
};

/// So many a second in the long run, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How many a second, from 0.001 to 1,000,000.
    pub per_second: f64,
    /// How many at once after a pause, from 1 to 1,000,000.
    pub burst: u32,
}

/// Limits of frames that come over WebSockets; each is counted, whatever it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FrameRules {
    /// Of one socket.
    #[serde(deserialize_with = "optional_object")]
    pub viewer: Option<Rate>,
    /// Of one user, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub user: Option<Rate>,
    /// Of one client address, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub address: Option<Rate>,
}

/// Limits of posts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostRules {
    /// Of one socket.
    #[serde(deserialize_with = "optional_object")]
    pub viewer: Option<Rate>,
    /// Of one user, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub user: Option<Rate>,
    /// Of one client address, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub address: Option<Rate>,
    /// Of all viewers together in one stream, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub stream: Option<Rate>,
    /// Of one service, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub service: Option<Rate>,
}

/// Limits of handshakes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JoinRules {
    /// Of one user, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub user: Option<Rate>,
    /// Of one client address, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub address: Option<Rate>,
    /// Of one stream, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub stream: Option<Rate>,
}

/// Every limit; what is absent is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitRules {
    /// Of frames.
    #[serde(deserialize_with = "object")]
    pub frames: FrameRules,
    /// Of posts.
    #[serde(deserialize_with = "object")]
    pub posts: PostRules,
    /// Of handshakes.
    #[serde(deserialize_with = "object")]
    pub joins: JoinRules,
}

impl LimitRules {
    /// Reads them from JSON.
    ///
    /// # Errors
    /// What is wrong, for a person.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let rules: Self = read_object(text.as_bytes()).map_err(|error| error.to_string())?;
        let Self { frames, posts, joins } = &rules;
        let of_frames = [frames.viewer, frames.user, frames.address];
        let of_posts = [posts.viewer, posts.user, posts.address, posts.stream, posts.service];
        let of_joins = [joins.user, joins.address, joins.stream];
        for rate in [&of_frames[..], &of_posts, &of_joins].concat().into_iter().flatten() {
            let Rate { per_second, burst } = rate;
            if !(0.001..=1e6).contains(&per_second) || !(1..=1_000_000).contains(&burst) {
                return Err(format!(
                    "per_second {per_second} must be 0.001 to 1000000, and burst {burst} 1 to 1000000"
                ));
            }
        }
        Ok(rules)
    }
}

/// A rate in the clock's steps of a nanosecond.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Between two, in the long run.
    every: u64,
    /// How far ahead of that somebody may be.
    ahead: u64,
}

impl From<Rate> for Pace {
    fn from(Rate { per_second, burst }: Rate) -> Self {
        let every = Duration::from_secs_f64(1.0 / per_second);
        Self { every: nanos(every), ahead: nanos(every * (burst - 1)) }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// One owner's use of one limit: the moment at which nothing of it will be left.
#[derive(Debug, Clone, Copy, Default)]
struct Cell(u64);

impl Cell {
    /// Takes so many, or tells how long it is until one may be had.
    fn take(&mut self, pace: Pace, count: u32, now: u64) -> Result<(), TooOften> {
        let begin = self.0.max(now);
        let next = begin.saturating_add(pace.every.saturating_mul(u64::from(count)));
        // The last of them must be no further ahead than the burst allows.
        let ahead = next.saturating_sub(pace.every).saturating_sub(now);
        if ahead > pace.ahead {
            return Err(TooOften { wait: Duration::from_nanos(ahead - pace.ahead) });
        }
        self.0 = next;
        Ok(())
    }
}

/// Somebody did something too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOften {
    /// How long until it may be done again.
    pub wait: Duration,
}

impl From<TooOften> for Refusal {
    fn from(TooOften { wait }: TooOften) -> Self {
        Self::RateLimited { retry_ms: u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX) }
    }
}

/// What is counted of one socket; it lies with the socket.
#[derive(Debug, Default)]
pub struct Meters {
    frames: Cell,
    posts: Cell,
}

/// Whose uses are counted together: looked up once, and good for as long as the pod runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    user: u64,
    address: u64,
    stream: u64,
}

/// What somebody does; the same owner's uses of different things are counted apart.
#[derive(Debug, Clone, Copy)]
enum Act {
    Frame,
    Post,
    Join,
}

impl Act {
    /// Odd and far apart, so that the keys of one owner lie in different places of the table.
    const fn salt(self) -> u64 {
        match self {
            Self::Frame => 0x9e37_79b9_7f4a_7c15,
            Self::Post => 0xc2b2_ae3d_27d4_eb4f,
            Self::Join => 0x1656_67b1_9e37_79f9,
        }
    }
}

/// The limits of a pod, and what was used of them. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: LimitRules,
    /// With a secret of this process, so that nobody can choose whom to be mistaken for.
    hasher: RandomState,
    table: Table,
    begin: Instant,
}

impl Limits {
    /// Limits by these rules.
    #[must_use]
    pub fn new(rules: LimitRules) -> Self {
        let has_shared = LimitRules {
            frames: FrameRules { viewer: None, ..rules.frames },
            posts: PostRules { viewer: None, ..rules.posts },
            joins: rules.joins,
        } != LimitRules::default();
        let table = Table::new(if has_shared { SHARDS } else { 0 });
        Self(Arc::new(Inner { rules, hasher: RandomState::new(), table, begin: Instant::now() }))
    }

    /// The keys of somebody who comes from somewhere to a stream. An IPv6 address counts with its network of 64 bits,
    /// since one client has all of that.
    #[must_use]
    pub fn keys(&self, user: &str, address: IpAddr, stream: &StreamId) -> Keys {
        let address = match address.to_canonical() {
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::from(u64::MAX) << 64)))
            }
            address => address,
        };
        let hasher = &self.0.hasher;
        Keys {
            user: hasher.hash_one(("user", user)),
            address: hasher.hash_one(("address", address)),
            stream: hasher.hash_one(("stream", stream.as_str())),
        }
    }

    /// Counts frames that came over a socket.
    ///
    /// # Errors
    /// [`TooOften`]: they are too many.
    pub fn frames(&self, keys: &Keys, meters: &mut Meters, count: u32) -> Result<(), TooOften> {
        let FrameRules { viewer, user, address } = self.0.rules.frames;
        if viewer.or(user).or(address).is_none() {
            return Ok(());
        }
        let now = self.now();
        viewer.map_or(Ok(()), |rate| meters.frames.take(rate.into(), count, now))?;
        self.take(Act::Frame, [(user, keys.user), (address, keys.address)], count, now)
    }

    /// Counts a post of a viewer: over a socket with that socket's meters, else without.
    ///
    /// # Errors
    /// [`TooOften`]: it is one too many.
    pub fn post(&self, keys: &Keys, meters: Option<&mut Meters>) -> Result<(), TooOften> {
        let PostRules { viewer, user, address, stream, .. } = self.0.rules.posts;
        let now = self.now();
        if let (Some(rate), Some(meters)) = (viewer, meters) {
            meters.posts.take(rate.into(), 1, now)?;
        }
        // The widest last: what is refused for its poster uses nothing of its stream's share.
        let shared = [(user, keys.user), (address, keys.address), (stream, keys.stream)];
        self.take(Act::Post, shared, 1, now)
    }

    /// Counts a post of a service.
    ///
    /// # Errors
    /// [`TooOften`]: it is one too many.
    pub fn post_of_service(&self, name: &str) -> Result<(), TooOften> {
        let Some(rate) = self.0.rules.posts.service else { return Ok(()) };
        let key = self.0.hasher.hash_one(("service", name));
        self.take(Act::Post, [(Some(rate), key)], 1, self.now())
    }

    /// Counts a handshake.
    ///
    /// # Errors
    /// [`TooOften`]: it is one too many.
    pub fn join(&self, keys: &Keys) -> Result<(), TooOften> {
        let JoinRules { user, address, stream } = self.0.rules.joins;
        let shared = [(user, keys.user), (address, keys.address), (stream, keys.stream)];
        self.take(Act::Join, shared, 1, self.now())
    }

    fn take<const N: usize>(
        &self,
        act: Act,
        limits: [(Option<Rate>, u64); N],
        count: u32,
        now: u64,
    ) -> Result<(), TooOften> {
        let limited = limits.into_iter().filter_map(|(rate, key)| rate.map(|rate| (rate, key)));
        for (rate, key) in limited {
            self.0.table.take(key ^ act.salt(), rate.into(), count, now)?;
        }
        Ok(())
    }

    /// From 1 on, so that a cell that was never used is free.
    fn now(&self) -> u64 {
        nanos(self.0.begin.elapsed()).saturating_add(1)
    }
}

/// How many parts of the table have a lock each.
const SHARDS: usize = 64;
/// How many sets a part has.
const SETS: usize = 128;
/// How many owners a set holds: 65,536 in all, of 16 bytes each, so 1 MiB.
const OWNERS: usize = 8;

#[derive(Debug, Clone, Copy, Default)]
struct Owner {
    key: u64,
    cell: Cell,
}

type Set = [Owner; OWNERS];

/// The owners that were seen lately. Full: whoever is nearest to having used nothing makes way, so that strangers who
/// come in any number push out each other, and not who is in debt.
#[derive(Debug)]
struct Table {
    /// Each guards its sets; held for one look.
    shards: Box<[Mutex<Box<[Set]>>]>,
}

impl Table {
    fn new(shards: usize) -> Self {
        let shard = || Mutex::new(vec![Set::default(); SETS].into_boxed_slice());
        Self { shards: std::iter::repeat_with(shard).take(shards).collect() }
    }

    fn take(&self, key: u64, pace: Pace, count: u32, now: u64) -> Result<(), TooOften> {
        let place = usize::try_from(key >> 32).unwrap_or(0);
        let Some(shard) = self.shards.get(place % SHARDS) else { return Ok(()) };
        let mut sets = shard.lock();
        let set = &mut sets[(place / SHARDS) % SETS];
        let at = set.iter().position(|owner| owner.key == key).unwrap_or_else(|| {
            let freest = (0..OWNERS).min_by_key(|at| set[*at].cell.0).unwrap_or(0);
            set[freest] = Owner { key, cell: Cell::default() };
            freest
        });
        set[at].cell.take(pace, count, now)
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
