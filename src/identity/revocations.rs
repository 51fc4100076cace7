//! Whose tokens no longer count.

use std::collections::HashMap;

use parking_lot::RwLock;
use tokio::sync::watch;

use super::Pass;

/// Users, each with the time up to which tokens do not count, in milliseconds since the Unix epoch.
///
/// Bounded by what services revoke within the longest life of a token, at about 100 bytes each: later the tokens have
/// ended by themselves.
pub(super) struct Revocations {
    /// Guards the map; held for a look, or while one is added.
    users: RwLock<HashMap<String, u64>>,
    /// Counts the additions, for those who wait for one.
    news: watch::Sender<u64>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self { users: RwLock::default(), news: watch::Sender::new(0) }
    }
}

impl Revocations {
    /// Takes note of a revocation, and forgets those from before `oldest_ms`.
    pub(super) fn note(&self, user: &str, at_ms: u64, oldest_ms: u64) {
        let mut users = self.users.write();
        users.retain(|_, at_ms| *at_ms >= oldest_ms);
        let known = users.get(user).copied();
        if at_ms >= oldest_ms && known.is_none_or(|known| known < at_ms) {
            users.insert(user.to_owned(), at_ms);
            drop(users);
            self.news.send_modify(|additions| *additions += 1);
        }
    }

    /// Whether the pass is from before its user's revocation, or of that moment.
    pub(super) fn concern(&self, pass: &Pass) -> bool {
        let users = self.users.read();
        users.get(&pass.viewer().author.id).is_some_and(|at_ms| pass.is_from_before(*at_ms))
    }

    /// Returns once it is.
    pub(super) async fn concerned(&self, pass: &Pass) {
        let mut news = self.news.subscribe();
        // The sender lives as long as `self`.
        while !self.concern(pass) && news.changed().await.is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::domain::{Author, Rights, Streams, Viewer};

    fn pass(user: &str, issued_at_ms: u64) -> Pass {
        let author = Author { id: user.to_owned(), name: user.to_owned() };
        let viewer = Viewer { author, rights: Rights::WATCH, streams: Streams::ALL };
        Pass::of_token(viewer, issued_at_ms, issued_at_ms + 1_000)
    }

    #[test]
    fn a_revocation_concerns_its_users_passes_from_before_it() {
        let revocations = Revocations::default();
        revocations.note("ann", 5_000, 0);
        assert!(revocations.concern(&pass("ann", 5_000)) && revocations.concern(&pass("ann", 1)));
        assert!(!revocations.concern(&pass("ann", 5_001)) && !revocations.concern(&pass("ben", 1)));
        revocations.note("ann", 3_000, 0);
        assert!(revocations.concern(&pass("ann", 5_000)), "an older one takes nothing back");
    }

    #[test]
    fn what_is_older_than_any_token_is_forgotten() {
        let revocations = Revocations::default();
        revocations.note("ann", 5_000, 0);
        revocations.note("ben", 9_000, 6_000);
        revocations.note("eve", 5_999, 6_000);
        assert_eq!(revocations.users.read().keys().collect::<Vec<_>>(), ["ben"]);
    }

    #[test]
    fn who_waits_is_told_of_its_own_revocation_alone() {
        let revocations = Revocations::default();
        let ann = pass("ann", 5_000);
        let mut waits = Box::pin(revocations.concerned(&ann));
        assert!((&mut waits).now_or_never().is_none());
        revocations.note("ben", 5_000, 0);
        assert!((&mut waits).now_or_never().is_none());
        revocations.note("ann", 5_000, 0);
        assert!(waits.now_or_never().is_some());
    }
}
