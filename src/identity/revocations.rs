//! Whose tokens no longer count.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
};

use parking_lot::RwLock;
use tokio::sync::{Notify, futures::Notified};

use super::VerifiedToken;

/// At how many places viewers wait for news of their users. A revocation wakes those at one, not the pod's every viewer.
const PLACES: usize = 1_024;

/// Users, each with the time up to which tokens do not count, by this pod's clock, in milliseconds since the Unix epoch.
///
/// Bounded by what services revoke within the longest life of a token, at about 100 bytes each: later the tokens have
/// ended by themselves.
pub(super) struct Revocations {
    /// Guards the map; held for a look, or while one is added.
    users: RwLock<HashMap<String, u64>>,
    /// Where viewers wait, by their users' hashes.
    places: Box<[Notify]>,
    hasher: RandomState,
}

impl Default for Revocations {
    fn default() -> Self {
        let places = (0..PLACES).map(|_| Notify::new()).collect();
        Self { users: RwLock::default(), places, hasher: RandomState::new() }
    }
}

impl Revocations {
    /// Takes note of a revocation, unless it is from before `oldest_ms`; all such are forgotten before memory grows.
    pub(super) fn note(&self, user: &str, at_ms: u64, oldest_ms: u64) {
        if at_ms < oldest_ms {
            return;
        }
        let mut users = self.users.write();
        if users.len() == users.capacity() {
            users.retain(|_, at_ms| *at_ms >= oldest_ms);
            // Room for as many again: the next look over all is as far away as this one was long.
            let room = users.len() + 1;
            users.reserve(room);
        }
        let known = users.get(user).copied();
        if known.is_none_or(|known| known < at_ms) {
            users.insert(user.to_owned(), at_ms);
            drop(users);
            self.place(user).notify_waiters();
        }
    }

    fn place(&self, user: &str) -> &Notify {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are as good as any")]
        let hash = self.hasher.hash_one(user) as usize;
        &self.places[hash % PLACES]
    }

    /// Returns whether the token may be from before its user's revocation, or of that moment.
    pub(super) fn concern(&self, verified: &VerifiedToken) -> bool {
        let users = self.users.read();
        users.get(&verified.viewer().author.id).is_some_and(|at_ms| verified.may_be_from_before(*at_ms))
    }

    /// Returns once a user at the token's place was revoked since the call.
    pub(super) fn news<'a>(&'a self, verified: &VerifiedToken) -> Notified<'a> {
        self.place(&verified.viewer().author.id).notified()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::{
        domain::{Author, Rights, StreamPatterns, Viewer},
        identity::verified_token::ISSUER_AHEAD_MS,
    };

    fn verified(user: &str, issued_at_ms: u64) -> VerifiedToken {
        let author = Author { id: user.to_owned(), name: user.to_owned() };
        let viewer = Viewer { author, rights: Rights::WATCH, streams: StreamPatterns::ALL };
        VerifiedToken::of_token(viewer, issued_at_ms, issued_at_ms + 1_000)
    }

    #[test]
    fn a_revocation_concerns_its_users_passes_from_before_it() {
        let revocations = Revocations::default();
        revocations.note("ann", 5_000, 0);
        assert!(revocations.concern(&verified("ann", 5_000)) && revocations.concern(&verified("ann", 1)));
        assert!(!revocations.concern(&verified("ben", 1)));
        revocations.note("ann", 3_000, 0);
        assert!(revocations.concern(&verified("ann", 5_000)), "an older one takes nothing back");
    }

    /// Symptom: a token whose `iat` was ahead within the leeway outlived its user's revocation. Cause: the leeway that
    /// let the token in was not counted when its `iat` was compared with the time of the revocation.
    #[test]
    fn the_leeway_of_iat_counts_against_the_token() {
        let revocations = Revocations::default();
        revocations.note("ann", 5_000, 0);
        assert!(revocations.concern(&verified("ann", 5_000 + ISSUER_AHEAD_MS)));
        assert!(!revocations.concern(&verified("ann", 5_001 + ISSUER_AHEAD_MS)));
    }

    #[test]
    fn what_is_older_than_any_token_is_forgotten_before_memory_grows() {
        let revocations = Revocations::default();
        for at_ms in 0..10_000 {
            revocations.note(&at_ms.to_string(), at_ms, at_ms.saturating_sub(9));
        }
        revocations.note("eve", 5_999, 6_000);
        let users = revocations.users.read();
        assert!((10..100).contains(&users.len()) && users.capacity() < 100, "{}", users.len());
        assert!(
            (9_990..10_000).all(|at_ms| users.contains_key(&at_ms.to_string())) && !users.contains_key("eve")
        );
    }

    #[test]
    fn who_waits_is_told_of_a_revocation_of_its_user_even_before_it_looks() {
        let revocations = Revocations::default();
        let ann = verified("ann", 5_000);
        let news = revocations.news(&ann);
        revocations.note("ann", 5_000, 0);
        assert!(news.now_or_never().is_some() && revocations.concern(&ann));
        assert!(revocations.news(&ann).now_or_never().is_none(), "what is known is no news");
    }

    #[test]
    fn few_of_those_who_wait_are_told_of_another_users_revocation() {
        let revocations = Revocations::default();
        let waiting =
            (0..1_000).map(|user| revocations.news(&verified(&user.to_string(), 5_000))).collect::<Vec<_>>();
        revocations.note("ann", 5_000, 0);
        let woken = waiting.into_iter().filter_map(Notified::now_or_never).count();
        assert!(woken < 100, "{woken}");
    }
}
