//! The token by which a viewer watches: one warning before its end, and the end.

use std::time::Duration;

use tokio::time::Instant;

use crate::identity::VerifiedToken;

/// The share of a token's life before its end in which the viewer is warned.
const WARN_SHARE: u32 = 5;
/// The longest time between the warning and the end.
const WARN_BEFORE_AT_MOST: Duration = Duration::from_secs(60);
/// The least time between two warnings on one socket, whatever tokens come in between: each warning makes a client fetch
/// a token.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// The token by which a viewer watches, and its expiry.
pub(super) struct Credential {
    token: VerifiedToken,
    expiry: TokenExpiry,
}

impl Credential {
    pub(super) fn new(token: VerifiedToken, now: Instant) -> Self {
        let expiry = TokenExpiry::new(&token, now);
        Self { token, expiry }
    }

    pub(super) const fn token(&self) -> &VerifiedToken {
        &self.token
    }

    /// Takes another token of the same viewer.
    pub(super) fn renew(&mut self, token: VerifiedToken, now: Instant) {
        self.expiry.renew(&self.token, &token, now);
        self.token = token;
    }

    /// Returns the time of the next event.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.expiry.due
    }

    /// Returns what is due now.
    pub(super) fn event(&mut self, now: Instant) -> ExpiryEvent {
        self.expiry.event(&self.token, now)
    }
}

/// The next event of a token's end, and its time.
struct TokenExpiry {
    /// Whether only the end is due: the viewer was warned of it, or it comes too soon after the last warning.
    only_end: bool,
    /// When the viewer was warned last, of this end or of an earlier token's.
    warned_at: Option<Instant>,
    /// `None`: the token has no end.
    due: Option<Instant>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExpiryEvent {
    /// Nothing yet.
    Wait,
    /// To tell the viewer that the token ends after so many milliseconds.
    Expiring(u64),
    /// It has ended.
    Over,
}

impl TokenExpiry {
    fn new(verified: &VerifiedToken, now: Instant) -> Self {
        let mut expiry = Self { only_end: false, warned_at: None, due: None };
        expiry.plan(verified.time_left(), verified.life(), now);
        expiry
    }

    /// Goes on with the token of a refresh. A token that is shown again is not warned of again.
    fn renew(&mut self, old: &VerifiedToken, new: &VerifiedToken, now: Instant) {
        if !new.has_times_of(old) {
            self.plan(new.time_left(), new.life(), now);
        }
    }

    fn plan(&mut self, left: Option<Duration>, life: Duration, now: Instant) {
        let Some(left) = left else { return self.due = None };
        let warn_before = (life / WARN_SHARE).min(WARN_BEFORE_AT_MOST);
        let (end, share_begins) = (now + left, now + left.saturating_sub(warn_before));
        let warn_at = self.warned_at.map_or(share_begins, |at| share_begins.max(at + BETWEEN_WARNINGS));
        self.only_end = warn_at >= end;
        self.due = Some(warn_at.min(end));
    }

    /// Returns what is due now.
    fn event(&mut self, verified: &VerifiedToken, now: Instant) -> ExpiryEvent {
        if self.due.is_none_or(|due| now < due) {
            return ExpiryEvent::Wait;
        }
        // The end is by the wall clock, which may have been put back or forth meanwhile.
        verified.time_left().map_or(ExpiryEvent::Wait, |left| self.event_with(left, now))
    }

    fn event_with(&mut self, left: Duration, now: Instant) -> ExpiryEvent {
        self.due = Some(now + left);
        if left.is_zero() {
            return ExpiryEvent::Over;
        }
        if std::mem::replace(&mut self.only_end, true) {
            return ExpiryEvent::Wait;
        }
        self.warned_at = Some(now);
        ExpiryEvent::Expiring(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// A viewer that answers each warning with a token of this life, of which so much is left then; returns the times of
    /// the warnings and of the end, in seconds, over an hour.
    fn warnings(life: u64, left: u64) -> (Vec<u64>, Option<u64>) {
        let begin = Instant::now();
        let (mut expiry, mut warnings) =
            (TokenExpiry { only_end: false, warned_at: None, due: None }, Vec::new());
        expiry.plan(Some(seconds(left)), seconds(life), begin);
        let mut end = begin + seconds(left);
        while let Some(due) = expiry.due.filter(|due| *due < begin + seconds(HOUR)) {
            match expiry.event_with(end - due, due) {
                ExpiryEvent::Expiring(_) => {
                    warnings.push((due - begin).as_secs());
                    end = due + seconds(left);
                    expiry.plan(Some(seconds(left)), seconds(life), due);
                }
                ExpiryEvent::Over => return (warnings, Some((due - begin).as_secs())),
                ExpiryEvent::Wait => {}
            }
        }
        (warnings, None)
    }

    #[test]
    fn the_warning_comes_in_the_last_fifth_of_the_life_and_at_most_a_minute_before_the_end() {
        for (life, warned) in [(50, 40), (60, 48), (300, 240), (900, 840), (3_500, 3_440)] {
            assert_eq!(warnings(life, life).0.first(), Some(&warned), "a token of {life} s");
        }
        assert_eq!(warnings(HOUR, 30).0.first(), Some(&0), "a token that is shown in its last minute");
    }

    /// Symptom: viewers with tokens of a minute, or with tokens from a cache, fetched thousands of tokens in seconds.
    /// Cause: the warning came a minute before each token's end, so at once after each refresh.
    #[test]
    fn warnings_keep_their_distance_whatever_a_refresh_brings() {
        for (life, left) in [(60, 60), (30, 30), (13, 13), (60, 20), (HOUR, 59), (HOUR, 11)] {
            let (warned, end) = warnings(life, left);
            let apart = warned.windows(2).map(|two| two[1] - two[0]).min().unwrap();
            assert!(
                apart >= BETWEEN_WARNINGS.as_secs() && end.is_none(),
                "{life}, {left}: {warned:?}, {end:?}"
            );
        }
        for left in [1, 5, 9] {
            assert_eq!(
                warnings(HOUR, left),
                (vec![0], Some(left)),
                "the end comes before another warning may"
            );
        }
    }
}
