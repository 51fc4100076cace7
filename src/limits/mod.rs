//! How often somebody may do something: by viewer, user, address and stream, in memory that does not grow.
//!
//! Each limit is a rate and a burst (GCRA: a cell holds the moment at which its owner has used nothing). A socket's own
//! cells lie with the socket. The others lie in one table of a fixed size.

mod charge;
mod rules;
mod table;
#[cfg(test)]
mod tests;

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Instant,
};

use crate::domain::StreamId;

pub use charge::PostCharge;
pub use rules::{FrameRules, JoinRules, LimitRules, PostRules, Rate};
pub use table::TooOften;
use table::{Cell, Pace, SHARDS, Table, nanos};

/// What is counted of one socket; it lies with the socket.
#[derive(Debug, Default)]
pub struct Buckets {
    frames: Cell,
    posts: Cell,
}

/// Whose uses are counted together: looked up once, and good for as long as the pod runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateKeys {
    user: u64,
    address: u64,
    stream: u64,
}

/// What somebody does; the same owner's uses of different things are counted apart.
#[derive(Debug, Clone, Copy)]
enum Act {
    Frame,
    Post,
    /// A post that was in its stream already.
    Repeat,
    Join,
}

impl Act {
    /// Odd and far apart, so that the keys of one owner lie in different places of the table.
    const fn salt(self) -> u64 {
        match self {
            Self::Frame => 0x9e37_79b9_7f4a_7c15,
            Self::Post => 0xc2b2_ae3d_27d4_eb4f,
            Self::Repeat => 0x27d4_eb2f_1656_67c5,
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
    pub fn keys(&self, user: &str, address: IpAddr, stream: &StreamId) -> RateKeys {
        let address = match address.to_canonical() {
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::from(u64::MAX) << 64)))
            }
            address => address,
        };
        let hasher = &self.0.hasher;
        RateKeys {
            user: hasher.hash_one(("user", user)),
            address: hasher.hash_one(("address", address)),
            stream: hasher.hash_one(("stream", stream.as_str())),
        }
    }

    /// Counts frames that came over a socket.
    ///
    /// # Errors
    /// [`TooOften`]: they are too many.
    pub fn frames(&self, keys: &RateKeys, buckets: &mut Buckets, count: u32) -> Result<(), TooOften> {
        let FrameRules { viewer, user, address } = self.0.rules.frames;
        if viewer.or(user).or(address).is_none() {
            return Ok(());
        }
        let now = self.now();
        viewer.map_or(Ok(()), |rate| buckets.frames.take(rate.into(), count, now))?;
        self.take(Act::Frame, [(user, keys.user), (address, keys.address)], count, now)
    }

    /// Counts a post of a viewer: over a socket with that socket's meters, else without.
    ///
    /// # Errors
    /// [`TooOften`]: it is one too many.
    pub fn post(&self, keys: &RateKeys, buckets: Option<&mut Buckets>) -> Result<(), TooOften> {
        let now = self.now();
        let own = self.0.rules.posts.viewer.zip(buckets);
        let own = own.map(|(rate, buckets)| (Pace::from(rate), &mut buckets.posts));
        let Some((pace, cell)) = own else { return self.take(Act::Post, self.of_post(keys), 1, now) };
        cell.take(pace, 1, now)?;
        let shared = self.take(Act::Post, self.of_post(keys), 1, now);
        shared.inspect_err(|_| cell.give_back(pace, 1))
    }

    /// Gives back what an answered post of a viewer does not count for.
    pub fn settle(&self, keys: &RateKeys, buckets: Option<&mut Buckets>, charge: PostCharge) {
        let shared = self.of_post(keys);
        if self.is_free(charge, shared) {
            if let (Some(rate), Some(buckets)) = (self.0.rules.posts.viewer, buckets) {
                buckets.posts.give_back(rate.into(), 1);
            }
            self.give_back(Act::Post, &shared, 1);
        }
    }

    /// Gives back what an answered post of a service does not count for.
    pub fn settle_of_service(&self, name: &str, charge: PostCharge) {
        let shared = self.of_service(name);
        if self.is_free(charge, shared) {
            self.give_back(Act::Post, &shared, 1);
        }
    }

    fn is_free<const N: usize>(&self, charge: PostCharge, shared: [(Option<Rate>, u64); N]) -> bool {
        match charge {
            PostCharge::Full => false,
            PostCharge::Repetition => self.take(Act::Repeat, shared, 1, self.now()).is_ok(),
            PostCharge::Nothing => true,
        }
    }

    /// The widest last: what is refused for its poster uses nothing of its stream's share.
    fn of_post(&self, keys: &RateKeys) -> [(Option<Rate>, u64); 3] {
        let PostRules { user, address, stream, .. } = self.0.rules.posts;
        [(user, keys.user), (address, keys.address), (stream, keys.stream)]
    }

    fn of_service(&self, name: &str) -> [(Option<Rate>, u64); 1] {
        let rate = self.0.rules.posts.service;
        [(rate, if rate.is_some() { self.0.hasher.hash_one(("service", name)) } else { 0 })]
    }

    /// Counts a post of a service.
    ///
    /// # Errors
    /// [`TooOften`]: it is one too many.
    pub fn post_of_service(&self, name: &str) -> Result<(), TooOften> {
        self.take(Act::Post, self.of_service(name), 1, self.now())
    }

    /// Counts a handshake.
    ///
    /// # Errors
    /// [`TooOften`]: it is one too many.
    pub fn join(&self, keys: &RateKeys) -> Result<(), TooOften> {
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
        for (at, (rate, key)) in limits.into_iter().enumerate() {
            let Some(rate) = rate else { continue };
            let taken = self.0.table.take(key ^ act.salt(), rate.into(), count, now);
            // What is refused by one limit counts for none.
            taken.inspect_err(|_| self.give_back(act, &limits[..at], count))?;
        }
        Ok(())
    }

    fn give_back(&self, act: Act, limits: &[(Option<Rate>, u64)], count: u32) {
        for (rate, key) in limits {
            if let Some(rate) = *rate {
                self.0.table.give_back(key ^ act.salt(), rate.into(), count);
            }
        }
    }

    /// From 1 on, so that a cell that was never used is free.
    fn now(&self) -> u64 {
        nanos(self.0.begin.elapsed()).saturating_add(1)
    }
}
