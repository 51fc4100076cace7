//! Revocations of users' tokens, which every shard keeps and every pod looks for.
//!
//! A revocation is written to all shards and counts if one of them has it, so that a dead shard neither hinders one nor
//! forgets it. Looking is level-triggered: whatever was missed, the next look finds it.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use super::{Shards, shard::Unavailable};

/// How often each shard is asked. A revocation has to reach every pod within two seconds.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The most revocations in one answer.
pub(super) const MOST: usize = 500;

/// A revocation, as a shard keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Revocation {
    /// Its place among the shard's revocations: `<milliseconds since the Unix epoch>-<number>`.
    pub(super) id: String,
    /// The user.
    pub(super) user: String,
}

impl Revocation {
    /// When it was made by the shard's clock, in milliseconds since the Unix epoch.
    fn at_ms(&self) -> Option<u64> {
        self.id.split('-').next()?.parse().ok()
    }
}

impl Shards {
    /// Revokes a user's tokens that were issued until now. `keep` is how long tokens live at the most.
    ///
    /// # Errors
    /// [`Unavailable`] if no shard took it.
    pub async fn revoke(&self, user: &str, keep: Duration) -> Result<(), Unavailable> {
        let members = &self.0.shards;
        let took = join_all(members.iter().map(|member| member.shard.revoke(user, keep))).await;
        for (member, took) in members.iter().zip(&took) {
            if took.is_err() {
                tracing::warn!(shard = member.name, "a revocation could not be written to this shard");
            }
        }
        if took.iter().any(Result::is_ok) { Ok(()) } else { Err(Unavailable) }
    }

    /// Tells each user that is revoked, with the time in milliseconds since the Unix epoch, for ever; first those of
    /// before. One shard that does not answer holds up no other.
    pub async fn tell_revocations(self, tell: impl Fn(&str, u64)) {
        join_all((0..self.0.shards.len()).map(|number| self.tell_of_one(number, &tell))).await;
    }

    async fn tell_of_one(&self, number: usize, tell: &impl Fn(&str, u64)) {
        let shard = &self.0.shards[number].shard;
        let mut after = "0-0".to_owned();
        loop {
            let news = shard.revocations(&after).await.unwrap_or_default();
            for revocation in &news {
                if let Some(at_ms) = revocation.at_ms() {
                    tell(&revocation.user, at_ms);
                }
            }
            let is_all = news.len() < MOST;
            if let Some(last) = news.into_iter().last() {
                after = last.id;
            }
            if is_all {
                sleep(LOOK_EVERY).await;
            }
        }
    }
}
