//! Pings: they show that a viewer is alive, and how long its path takes.
//!
//! A pong confirms every byte that was written before its ping. Behind a proxy nothing else does: the proxy takes bytes
//! that the viewer has not read. A viewer whose pong is late lags: only a bounded number of bytes is written past the
//! last confirmed one, and it is pinged more often until a pong is in time. A viewer that keeps up is not pinged more
//! often than before, and costs a delivery nothing.

use std::time::Duration;

use tokio::time::Instant;

/// The longest time between two pings.
pub(super) const PING_EVERY: Duration = Duration::from_secs(25);
/// The time in which something must come after a ping that no unread bytes precede.
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// The longest time in which a pong is waited for, however many bytes precede its ping.
const PONG_AT_LAST: Duration = Duration::from_secs(90);
/// The slowest reading that is waited for, in bytes a second: a ping stands behind the bytes that are not read yet.
const SLOWEST_READING: u64 = 4 * 1024;
/// A viewer whose pong takes longer lags.
const SLOW_PONG: Duration = Duration::from_secs(2);
/// The time from a pong to the next ping while the viewer lags.
const PING_SOON: Duration = Duration::from_secs(1);
/// The most bytes written past the last confirmed one to a viewer that lags; with one more batch, at most 256 KiB.
const MOST_UNREAD: u64 = 192 * 1024;
/// The fewest that such a viewer is allowed.
const LEAST_UNREAD: u64 = 16 * 1024;

/// The pings of one viewer.
pub(super) struct Keepalive {
    /// The number of the last ping; a pong repeats it.
    number: u32,
    /// The ping that has no answer yet.
    ping: Option<Ping>,
    due: Instant,
    /// The bytes that the viewer has read for certain, and since when this is known.
    confirmed: (u64, Instant),
    /// The bytes that may be written past the confirmed ones; none while the viewer keeps up.
    window: Option<u64>,
    /// Whether a pong has ever repeated its ping's number, as RFC 6455 asks.
    echoes: bool,
}

#[derive(Clone, Copy)]
struct Ping {
    sent: Instant,
    /// The bytes up to its end.
    end: u64,
    /// Whether it is already known to be late.
    is_late: bool,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeepaliveAction {
    /// Nothing yet.
    Wait,
    /// A ping of this number, and then [`Keepalive::pinged`].
    Ping(u32),
    /// The pong is late: this many bytes may be written, counted from the first one.
    Limit(u64),
    /// The viewer is gone.
    Dead,
}

/// The answer to a ping.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// The time from the ping to the pong.
    pub(super) took: Duration,
    /// The bytes that may be written from now on, counted from the first one; none for a viewer that keeps up.
    pub(super) limit: Option<u64>,
}

impl Keepalive {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            number: 0,
            ping: None,
            due: now + jittered(),
            confirmed: (0, now),
            window: None,
            echoes: false,
        }
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// The ping that was due is queued; `end` is the number of bytes up to its end.
    pub(super) fn pinged(&mut self, now: Instant, end: u64) {
        self.ping = Some(Ping { sent: now, end, is_late: false });
        self.due = now + SLOW_PONG;
    }

    /// Returns what is due now. `heard` tells whether anything came since the last time it was asked; a viewer whose
    /// socket is full has a deadline of its own.
    pub(super) fn beat(
        &mut self,
        now: Instant,
        is_full: bool,
        heard: impl FnOnce() -> bool,
    ) -> KeepaliveAction {
        if now < self.due {
            return KeepaliveAction::Wait;
        }
        let Some(ping) = &mut self.ping else {
            heard();
            self.number = self.number.wrapping_add(1);
            return KeepaliveAction::Ping(self.number);
        };
        let last = ping.sent + PONG_AT_LAST;
        if !ping.is_late {
            ping.is_late = true;
            let unread = Duration::from_secs((ping.end - self.confirmed.0) / SLOWEST_READING);
            self.due = (ping.sent + PONG_WITHIN + unread).min(last);
            let window = *self.window.get_or_insert(MOST_UNREAD);
            return KeepaliveAction::Limit(self.confirmed.0 + window);
        }
        if !(heard() || is_full) || (self.echoes && !is_full && now >= last) {
            return KeepaliveAction::Dead;
        }
        if !(self.echoes || is_full) {
            // It talks and never answers a ping: nothing can be said of its path.
            self.pong(now);
            self.window = None;
            self.due = now + jittered().saturating_sub(PONG_WITHIN);
            return KeepaliveAction::Limit(u64::MAX);
        }
        self.due = now + PONG_WITHIN;
        KeepaliveAction::Wait
    }

    /// Takes a pong; `number` is the one that it repeats. Returns what it says; none if it answers no ping.
    pub(super) fn answered(&mut self, now: Instant, number: Option<u32>) -> Option<Answered> {
        let is_answer = number == Some(self.number);
        // Some libraries send pongs unasked; one that repeats no number may be all that a viewer ever sends.
        if !is_answer && self.echoes {
            return None;
        }
        let answered = self.pong(now);
        self.echoes |= is_answer && answered.is_some();
        answered
    }

    fn pong(&mut self, now: Instant) -> Option<Answered> {
        let Ping { sent, end, .. } = self.ping.take()?;
        let took = now.saturating_duration_since(sent);
        let (before, since) = std::mem::replace(&mut self.confirmed, (end, now));
        if took > SLOW_PONG {
            // As much as it reads within the time in which a pong is not late.
            let seconds = now.saturating_duration_since(since).as_secs().max(1);
            let read = (end - before) * SLOW_PONG.as_secs() / seconds;
            self.window = Some(read.clamp(LEAST_UNREAD, MOST_UNREAD));
        } else {
            self.window = self.window.map(|window| window * 2).filter(|window| *window <= MOST_UNREAD);
        }
        let usual = (sent + jittered()).max(now);
        self.due = if self.window.is_some() { now + PING_SOON } else { usual };
        Some(Answered { took, limit: self.window.map(|window| end + window) })
    }
}

/// Sockets that were opened together are not pinged together.
fn jittered() -> Duration {
    PING_EVERY.mul_f64(rand::random_range(0.8..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    /// A viewer behind a proxy that takes everything: what it is sent, and how much of it the viewer has read.
    struct Path {
        keepalive: Keepalive,
        now: Instant,
        written: u64,
        read: u64,
        limit: u64,
        pings: u64,
        /// The times of the last pongs.
        took: Vec<Duration>,
    }

    impl Path {
        fn new() -> Self {
            let now = Instant::now();
            let (limit, took) = (u64::MAX, Vec::new());
            Self { keepalive: Keepalive::new(now), now, written: 0, read: 0, limit, pings: 0, took }
        }

        /// Lets time pass while the stream and the viewer do so many bytes a second; returns whether it lives.
        fn verified(&mut self, time: Duration, stream: u64, reads: u64) -> bool {
            let end = self.now + time;
            while self.now < end {
                self.now += STEP;
                if self.written < self.limit {
                    self.written += stream / 10;
                }
                self.read = (self.read + reads / 10).min(self.written);
                if let Some(Ping { end, .. }) = self.keepalive.ping
                    && self.read >= end
                    && reads > 0
                {
                    let answered = self.keepalive.answered(self.now, Some(self.keepalive.number)).unwrap();
                    self.took.push(answered.took);
                    self.limit = answered.limit.unwrap_or(u64::MAX);
                }
                match self.keepalive.beat(self.now, false, || false) {
                    KeepaliveAction::Wait => {}
                    KeepaliveAction::Ping(_) => {
                        self.pings += 1;
                        self.written += 6;
                        self.keepalive.pinged(self.now, self.written);
                    }
                    KeepaliveAction::Limit(limit) => self.limit = limit,
                    KeepaliveAction::Dead => return false,
                }
            }
            true
        }

        const fn unread(&self) -> u64 {
            self.written - self.read
        }
    }

    #[test]
    fn a_viewer_that_answers_is_pinged_again_and_a_silent_one_is_dead() {
        let mut path = Path::new();
        assert!(path.verified(Duration::from_secs(600), 50_000, 100_000));
        assert!((24..=30).contains(&path.pings), "{} pings in ten minutes", path.pings);
        assert!(path.took.iter().all(|took| *took <= STEP), "{:?}", path.took);
        assert_eq!(path.limit, u64::MAX);

        let mut path = Path::new();
        assert!(path.verified(Duration::from_secs(60), 1, 1_000));
        let died = path.now;
        while path.verified(STEP, 0, 0) {}
        assert!(path.now - died <= PING_EVERY + PONG_WITHIN + STEP, "{:?}", path.now - died);
    }

    /// Symptom: a viewer behind a proxy that read 8 of 32 kB a second saw comments half a minute late, was never told
    /// `skipped`, and was closed with 3012 although it answered each ping. Cause: the proxy took every byte at once, and
    /// the pong was expected within 10 s although its ping stood behind minutes of unread bytes.
    #[test]
    fn a_slow_viewer_behind_a_proxy_lives_and_its_unread_bytes_are_few() {
        for reads in [8_000, 16_000, 30_000] {
            let mut path = Path::new();
            assert!(path.verified(Duration::from_secs(120), 32_000, reads), "{reads}: dead at first");
            for _ in 0..80 {
                assert!(path.verified(Duration::from_secs(5), 32_000, reads), "{reads}: dead later");
                assert!(path.unread() <= 256 * 1024, "{reads}: {}", path.unread());
            }
            let delay = path.unread() / reads;
            assert!(delay <= 5, "{reads}: {delay} s behind");
        }
    }

    /// Symptom: a stalled viewer made its proxy hold 17 MiB. Cause: nothing limited what was written past its last pong.
    #[test]
    fn a_viewer_that_stalls_is_sent_nothing_more_soon_and_is_dead_in_the_end() {
        let mut path = Path::new();
        assert!(path.verified(Duration::from_secs(60), 55_000, 100_000));
        let (stalled, read) = (path.now, path.read);
        while path.keepalive.window.is_none() {
            assert!(path.verified(STEP, 55_000, 0));
        }
        assert!(path.now - stalled <= PING_EVERY + SLOW_PONG + STEP);
        path.verified(STEP, 55_000, 0);
        let written = path.written;
        while path.verified(STEP, 55_000, 0) {}
        assert!(path.written <= (read + MOST_UNREAD + 55_000).max(written));
        assert!(path.now - stalled <= PING_EVERY + PONG_AT_LAST + STEP, "{:?}", path.now - stalled);
    }

    /// Symptom: a library that answers pings on the thread of its callbacks was taken for a bad path for a minute, after
    /// one pong of 3 s. Cause: the next ping came 25 s later.
    #[test]
    fn one_late_pong_is_forgiven_within_seconds() {
        let mut path = Path::new();
        assert!(path.verified(Duration::from_secs(60), 50_000, 100_000));
        // It stops for 3 s just when it is pinged.
        while path.keepalive.ping.is_none() {
            path.verified(STEP, 50_000, 100_000);
            if path.keepalive.due <= path.now + STEP {
                path.verified(Duration::from_secs(3), 50_000, 0);
            }
        }
        path.verified(STEP, 50_000, 1_000_000);
        assert!(path.took.last().is_some_and(|took| *took > SLOW_PONG), "{:?}", path.took);
        assert!(path.keepalive.window.is_some());
        let late = path.now;
        while path.keepalive.window.is_some() {
            assert!(path.verified(STEP, 50_000, 1_000_000));
        }
        assert!(path.now - late <= Duration::from_secs(6), "{:?}", path.now - late);
        let before = path.pings;
        path.verified(Duration::from_secs(100), 50_000, 100_000);
        assert!(path.pings - before <= 6, "it is pinged as rarely as before");
    }

    /// A ping that stands behind unread bytes is waited for as long as they may take.
    #[test]
    fn a_pong_is_waited_for_as_long_as_the_bytes_before_its_ping_take() {
        for (end, seconds) in [(100, 10), (200 * 1024, 60), (100 * 1024 * 1024, 90)] {
            let now = Instant::now();
            let mut keepalive = Keepalive::new(now);
            let sent = keepalive.due();
            assert_eq!(keepalive.beat(sent, false, || true), KeepaliveAction::Ping(1));
            keepalive.pinged(sent, end);
            assert_eq!(keepalive.beat(keepalive.due(), false, || false), KeepaliveAction::Limit(MOST_UNREAD));
            assert_eq!(keepalive.due() - sent, Duration::from_secs(seconds));
            assert_eq!(
                keepalive.beat(keepalive.due(), true, || false),
                KeepaliveAction::Wait,
                "a full socket has its own deadline"
            );
            assert_eq!(keepalive.beat(keepalive.due(), false, || false), KeepaliveAction::Dead);
        }
    }

    #[test]
    fn pongs_that_answer_no_ping_are_ignored_once_a_viewer_has_answered_one() {
        let mut path = Path::new();
        assert!(path.verified(Duration::from_secs(60), 100, 1_000));
        let due = path.keepalive.due();
        let KeepaliveAction::Ping(number) = path.keepalive.beat(due, false, || true) else {
            panic!("no ping is due")
        };
        path.keepalive.pinged(due, path.written);
        for odd in [None, Some(number - 1), Some(number + 1)] {
            assert_eq!(path.keepalive.answered(due, odd), None);
        }
        let took = Duration::from_millis(40);
        assert_eq!(path.keepalive.answered(due + took, Some(number)), Some(Answered { took, limit: None }));
        assert_eq!(path.keepalive.answered(due + took, Some(number)), None, "it is answered already");
    }

    /// A client that talks and never answers a ping is not limited: nothing can be said of its path.
    #[test]
    fn a_viewer_that_talks_and_never_answers_a_ping_stays_without_a_limit() {
        let mut keepalive = Keepalive::new(Instant::now());
        for number in 1..5 {
            assert_eq!(keepalive.beat(keepalive.due(), false, || true), KeepaliveAction::Ping(number));
            keepalive.pinged(keepalive.due(), 1_000 * u64::from(number));
            assert!(matches!(keepalive.beat(keepalive.due(), false, || true), KeepaliveAction::Limit(1..)));
            assert_eq!(keepalive.beat(keepalive.due(), false, || true), KeepaliveAction::Limit(u64::MAX));
        }
    }
}
