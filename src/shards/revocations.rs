//! Revocations of users' tokens, which every shard keeps and every pod looks for.
//!
//! A revocation is written to all shards and counts if one of them has it, so that a dead shard neither hinders one nor
//! forgets it. Looking is level-triggered: whatever was missed, the next look finds it.
//!
//! A shard gives a revocation a time of its own clock. Each pod tells it in its own time, since it compares it with the
//! `iat` of tokens that it let in by its own clock.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use super::{
    Shards,
    backend::types::{MOST_REVOCATIONS, Revocation, Unavailable},
};
use crate::domain::now_ms;

/// How often each shard is asked. A revocation has to reach every pod within two seconds.
const LOOK_EVERY: Duration = Duration::from_millis(500);
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

    /// Tells each user that is revoked, with the time by this pod's clock in milliseconds since the Unix epoch, for ever;
    /// first those of before. One shard that does not answer holds up no other.
    pub async fn tell_revocations(self, tell: impl Fn(&str, u64)) {
        join_all((0..self.0.shards.len()).map(|number| self.tell_of_one(number, &tell))).await;
    }

    async fn tell_of_one(&self, number: usize, tell: &impl Fn(&str, u64)) {
        let shard = &self.0.shards[number].shard;
        let mut looks = Looks::default();
        loop {
            let began_at_ms = now_ms();
            let is_more = match shard.revocations(&looks.after()).await {
                Ok(news) => looks.take(&news, began_at_ms, |shard_ms| shard.in_pod_time(shard_ms), tell),
                // The shard may come back with other revocations than it had, or with another clock.
                Err(Unavailable) => {
                    looks = Looks::default();
                    false
                }
            };
            if !is_more {
                sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// The looks at one shard so far.
#[derive(Default)]
struct Looks {
    /// The id of the last revocation that was told; `None` if all that there are have to be told.
    last: Option<String>,
    /// The start of the last look that found everything, in milliseconds since the Unix epoch: what later looks find is
    /// younger, whatever the shard's clock says.
    complete_at_ms: u64,
}

impl Looks {
    /// The id after which the next look begins: the greatest one before the last revocation that was told, so that the
    /// look finds that one again if the shard still has it.
    fn after(&self) -> String {
        self.last.as_deref().and_then(id_before).unwrap_or_else(|| "0-0".to_owned())
    }

    /// Tells the revocations that a look found, each with its time by this pod's clock. Returns whether to look again at
    /// once.
    ///
    /// Without the last one that was told, the shard has lost its revocations, and if its clock was put back it gives new
    /// ones ids before that: all that it has are told again. They count as younger than the last look that found
    /// everything, since nothing else is certain.
    fn take(
        &mut self,
        news: &[Revocation],
        began_at_ms: u64,
        in_pod_time: impl Fn(u64) -> Option<u64>,
        tell: impl Fn(&str, u64),
    ) -> bool {
        let is_more = news.len() >= MOST_REVOCATIONS;
        let news = match (&self.last, news.split_first()) {
            (None, _) => news,
            (Some(last), Some((first, news))) if first.id == *last => news,
            (Some(_), _) => {
                self.last = None;
                return true;
            }
        };
        for revocation in news {
            let Some(shard_ms) = revocation.at_ms() else { continue };
            // Until the shard's clock is known the same ones are asked for again.
            let Some(at_ms) = in_pod_time(shard_ms) else { return false };
            tell(&revocation.user, at_ms.max(self.complete_at_ms).min(now_ms()));
        }
        if let Some(last) = news.last() {
            self.last = Some(last.id.clone());
        }
        if !is_more {
            self.complete_at_ms = began_at_ms;
        }
        is_more
    }
}

/// The greatest id before another one; `None` if it has not the form of an id.
fn id_before(id: &str) -> Option<String> {
    let (ms, number) = id.split_once('-')?;
    let (ms, number): (u64, u64) = (ms.parse().ok()?, number.parse().ok()?);
    let (ms, number) = match number {
        0 => (ms.checked_sub(1)?, u64::MAX),
        _ => (ms, number - 1),
    };
    Some(format!("{ms}-{number}"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// The time that is told for a revocation of such an age by the shard's clock, at the second look of the pod.
    fn told(looks: &mut Looks, shard_ms: u64, ahead_ms: i64) -> u64 {
        let last = looks.last.clone().map(|id| Revocation { id, user: "ben".to_owned() });
        let new = Revocation { id: format!("{shard_ms}-0"), user: "ann".to_owned() };
        let (news, told): (Vec<_>, _) = (last.into_iter().chain([new]).collect(), Cell::new(0));
        let in_pod_time = |shard_ms: u64| shard_ms.checked_add_signed(-ahead_ms);
        assert!(!looks.take(&news, now_ms(), in_pod_time, |_, at_ms| told.set(at_ms)));
        told.get()
    }

    /// Symptom: a user who was revoked on a shard whose clock was behind stayed. Cause: the shard's time was compared
    /// with a token's `iat` as it was.
    #[test]
    fn a_revocation_has_the_time_of_the_pods_clock() {
        let now = now_ms();
        for ahead_s in [-90_i64, 0, 90] {
            let shard_ms = now.saturating_add_signed(ahead_s * 1_000) - 5_000;
            assert_eq!(told(&mut Looks::default(), shard_ms, ahead_s * 1_000), now - 5_000);
        }
    }

    #[test]
    fn a_revocation_is_younger_than_the_look_before_it_and_older_than_now_whatever_the_clock_says() {
        let (began, mut looks) = (now_ms(), Looks::default());
        assert!(!looks.take(&[], began, Some, |_, _| panic!("nothing was revoked")));
        let at_ms = told(&mut looks, began - 60_000, 0);
        assert_eq!(at_ms, began, "the clock was put back since the last look");
        let at_ms = told(&mut looks, began + 60_000, 0);
        assert!((began..=now_ms()).contains(&at_ms), "the clock was put forth since: {at_ms}");
    }

    #[test]
    fn nothing_is_told_before_the_shards_clock_is_known() {
        let (mut looks, news) =
            (Looks::default(), [Revocation { id: "5-0".to_owned(), user: "ann".to_owned() }]);
        assert!(!looks.take(&news, now_ms(), |_| None, |_, _| panic!("no time is known")));
        assert_eq!((looks.after().as_str(), looks.complete_at_ms), ("0-0", 0), "it is asked for again");
    }

    /// Symptom: a revocation reached no pod that ran. Cause: the shard had lost its revocations, its clock was put back,
    /// and pods asked for those after the last one that they had seen.
    #[test]
    fn a_shard_that_lost_its_revocations_is_asked_for_all_again() {
        let (now, mut looks) = (now_ms(), Looks::default());
        told(&mut looks, now + 3_600_000, 0);
        assert_eq!(looks.after(), format!("{}-{}", now + 3_599_999, u64::MAX), "the last one is found again");
        let complete_at_ms = looks.complete_at_ms;
        assert!(looks.take(&[], now_ms(), Some, |_, _| panic!("nothing is there")), "at once");
        assert_eq!((looks.after().as_str(), looks.complete_at_ms), ("0-0", complete_at_ms));
        assert!(!looks.take(&[], now_ms(), Some, |_, _| panic!("nothing is there")));
        assert!(told(&mut looks, now - 3_600_000, 0) >= complete_at_ms);
    }

    #[test]
    fn the_id_before_another_one_is_the_next_smaller() {
        for (id, before) in
            [("5-3", Some("5-2")), ("5-0", Some("4-18446744073709551615")), ("0-1", Some("0-0"))]
        {
            assert_eq!(id_before(id).as_deref(), before, "{id}");
        }
        assert!(["", "5", "x-1", "5-", "0-0"].iter().all(|id| id_before(id).is_none()));
    }
}
