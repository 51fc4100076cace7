//! Which handshakes are taken: a storm of them is absorbed at the pod's own pace.

use tokio::time::Instant;

/// The share of its viewers that a hot pod takes a second, so that it does not get hotter; and at least one.
const HOT_SHARE: f64 = 0.01;
/// Who is refused because of the pace of handshakes comes again after 1 to so many seconds.
const SOON_S: u64 = 4;
/// Who is refused because the pod is full, hot or short of something comes again after so many seconds or more.
const LATER_S: u64 = 5;
/// And this many seconds at the most.
const LATEST_S: u64 = 15;

/// How many descriptors are not for viewers, or a quarter of few; a quarter of these is not for requests either.
const KEPT: usize = 256;

/// What a pod takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// The most viewers.
    pub viewers: usize,
    /// The most handshakes a second; none without a limit.
    pub accepts_per_second: Option<u32>,
    /// The most refused handshakes a second that are answered on the WebSocket.
    pub socket_refusals_per_second: u32,
    /// Sockets with this number or a higher one are not for viewers: descriptors are given out from the lowest free
    /// number on, so that so many are in use.
    pub descriptors: usize,
    /// Sockets with this number or a higher one are for nobody who comes by the public listener.
    pub requests: usize,
    /// The most connections to the public listener that are no viewers, such as handshakes under way.
    pub connections: usize,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            viewers: usize::MAX,
            accepts_per_second: None,
            socket_refusals_per_second: 0,
            descriptors: usize::MAX,
            requests: usize::MAX,
            connections: usize::MAX,
        }
    }
}

impl Capacity {
    /// The capacity of a process that may have so many open files, within these settings; 0 stands for no limit.
    ///
    /// No refused handshake is answered on the WebSocket: the caller sets that number.
    pub(super) fn new(open_files: usize, max_viewers: usize, accepts_per_second: u32) -> Self {
        // Viewers leave some to requests, and these some to shards, files and probes.
        let kept = (open_files / 4).min(KEPT);
        let descriptors = open_files - kept;
        if max_viewers > descriptors {
            tracing::warn!(
                max_viewers,
                open_files,
                "FANFARE_MAX_VIEWERS is more than the open files allow: {descriptors}"
            );
        }
        Self {
            viewers: if max_viewers == 0 { descriptors } else { max_viewers.min(descriptors) },
            accepts_per_second: (accepts_per_second > 0).then_some(accepts_per_second),
            socket_refusals_per_second: 0,
            descriptors,
            requests: open_files - kept / 4,
            connections: open_files / 2,
        }
    }
}

/// A handshake that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Why, in words for the client.
    pub why: &'static str,
    /// When to try again, in seconds; each refusal says another time, so that not all come back at once.
    pub retry_after_s: u64,
    /// Whether the answer may go over the WebSocket, for clients that cannot read an HTTP answer's headers.
    pub on_socket: bool,
}

impl Refused {
    fn soon(why: &'static str) -> Self {
        Self { why, retry_after_s: rand::random_range(1..=SOON_S), on_socket: false }
    }

    fn later(why: &'static str) -> Self {
        Self { why, retry_after_s: rand::random_range(LATER_S..=LATEST_S), on_socket: false }
    }
}

/// Counts handshakes against what the pod takes.
#[derive(Debug)]
pub(super) struct Admission {
    capacity: Capacity,
    pace: Bucket,
    /// The pace while the pod is hot.
    trickle: Option<Bucket>,
    /// The pace of refusals on the WebSocket.
    socket_refusals: Bucket,
}

impl Admission {
    pub(super) fn new(capacity: Capacity, now: Instant) -> Self {
        let rate = capacity.accepts_per_second.map_or(f64::INFINITY, f64::from);
        let socket_refusals = Bucket::full(f64::from(capacity.socket_refusals_per_second), now);
        Self { capacity, pace: Bucket::full(rate, now), trickle: None, socket_refusals }
    }

    pub(super) const fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    pub(super) const fn is_hot(&self) -> bool {
        self.trickle.is_some()
    }

    pub(super) fn set_hot(&mut self, is_hot: bool) {
        if is_hot != self.is_hot() {
            self.trickle = is_hot.then(|| Bucket::full(1.0, Instant::now()));
        }
    }

    /// Admits a handshake, or refuses it; a share of the refused may be answered on the WebSocket.
    pub(super) fn admit(
        &mut self,
        viewers: usize,
        descriptor: usize,
        is_memory_short: bool,
        now: Instant,
    ) -> Result<(), Refused> {
        self.check(viewers, descriptor, is_memory_short, now).map_err(|refused| {
            // Where descriptors or memory are short, a refusal must hold neither.
            let has_room = descriptor < self.capacity.descriptors && !is_memory_short;
            let rate = f64::from(self.capacity.socket_refusals_per_second);
            Refused { on_socket: has_room && self.socket_refusals.take(rate, now), ..refused }
        })
    }

    fn check(
        &mut self,
        viewers: usize,
        descriptor: usize,
        is_memory_short: bool,
        now: Instant,
    ) -> Result<(), Refused> {
        if viewers > self.capacity.viewers {
            return Err(Refused::later("this pod has as many viewers as it takes"));
        }
        if descriptor >= self.capacity.descriptors {
            return Err(Refused::later("this pod has no descriptors left for viewers"));
        }
        if is_memory_short {
            return Err(Refused::later("this pod is short of memory"));
        }
        if let Some(trickle) = &mut self.trickle
            && !trickle.take(f64::max(1.0, viewers as f64 * HOT_SHARE), now)
        {
            return Err(Refused::later("this pod is busy"));
        }
        let rate = self.capacity.accepts_per_second.map_or(f64::INFINITY, f64::from);
        if self.pace.take(rate, now) { Ok(()) } else { Err(Refused::soon("too many viewers come at once")) }
    }
}

/// A bucket that holds a second's worth of tokens.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    const fn full(rate: f64, now: Instant) -> Self {
        Self { tokens: rate, at: now }
    }

    /// Takes a token, if there is one after what came in since the last time.
    fn take(&mut self, rate: f64, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.tokens = if rate.is_finite() { (self.tokens + seconds * rate).min(rate) } else { rate };
        let is_there = self.tokens >= 1.0;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How many of so many handshakes a second are taken in each of these seconds.
    fn taken(admission: &mut Admission, viewers: usize, a_second: u32, seconds: u32) -> Vec<usize> {
        let mut now = Instant::now();
        let mut one_second = |_| {
            let mut each = |_| {
                now += Duration::from_secs(1) / a_second;
                admission.admit(viewers, 10, false, now).is_ok()
            };
            (0..a_second).map(&mut each).filter(|taken| *taken).count()
        };
        (0..seconds).map(&mut one_second).collect()
    }

    #[test]
    fn handshakes_are_taken_at_the_pace_that_is_set() {
        let capacity = Capacity { accepts_per_second: Some(100), ..Capacity::default() };
        let mut admission = Admission::new(capacity, Instant::now());
        let taken = taken(&mut admission, 5, 2_000, 5);
        assert!((190..=201).contains(&taken[0]), "the first second has a burst: {taken:?}");
        assert!(taken[1..].iter().all(|taken| (99..=101).contains(taken)), "{taken:?}");
    }

    #[test]
    fn without_a_limit_all_are_taken() {
        let mut admission = Admission::new(Capacity::default(), Instant::now());
        assert_eq!(taken(&mut admission, 5, 2_000, 3), [2_000; 3]);
    }

    #[test]
    fn a_hot_pod_takes_a_hundredth_of_its_viewers_a_second_and_at_least_one() {
        for (viewers, expected) in [(10, 1), (1_000, 10)] {
            let mut admission = Admission::new(Capacity::default(), Instant::now());
            admission.set_hot(true);
            let hot = taken(&mut admission, viewers, 100, 5);
            assert!(hot[1..].iter().all(|taken| taken.abs_diff(expected) <= 1), "{hot:?}");
            admission.set_hot(false);
            assert_eq!(taken(&mut admission, viewers, 100, 1), [100]);
        }
    }

    #[test]
    fn what_is_full_or_short_refuses_and_says_when_to_come_again() {
        let capacity =
            Capacity { viewers: 3, accepts_per_second: Some(1), descriptors: 50, ..Capacity::default() };
        let now = Instant::now();
        let mut admission = Admission::new(capacity, now);
        let mut times = std::collections::BTreeSet::new();
        for _ in 0..100 {
            for (viewers, descriptor, short) in [(4, 9, false), (3, 50, false), (3, 49, true)] {
                let refused = admission.admit(viewers, descriptor, short, now).unwrap_err();
                assert!((LATER_S..=LATEST_S).contains(&refused.retry_after_s), "{refused:?}");
                times.insert(refused.retry_after_s);
            }
        }
        assert!(times.len() > 5, "they do not all come back at once: {times:?}");
        assert_eq!(admission.admit(3, 49, false, now), Ok(()), "those took no turn");
        let refused = admission.admit(3, 49, false, now).unwrap_err();
        assert!((1..=SOON_S).contains(&refused.retry_after_s), "{refused:?}");
    }

    #[test]
    fn a_share_of_the_refused_is_answered_on_the_socket_and_none_where_memory_or_descriptors_are_short() {
        for (rate, first, then) in [(0, 0, 0), (1, 1, 1), (100, 199, 100), (5_000, 2_000, 2_000)] {
            let capacity = Capacity {
                viewers: 3,
                descriptors: 50,
                socket_refusals_per_second: rate,
                ..Capacity::default()
            };
            let mut now = Instant::now();
            let mut admission = Admission::new(capacity, now);
            let mut one_second = |descriptor, is_memory_short| {
                let mut each = |_| {
                    now += Duration::from_micros(500);
                    admission.admit(4, descriptor, is_memory_short, now).unwrap_err().on_socket
                };
                (0..2_000).map(&mut each).filter(|on_socket| *on_socket).count()
            };
            assert_eq!((one_second(50, false), one_second(9, true)), (0, 0), "{rate} a second");
            let on_socket = [one_second(9, false), one_second(9, false), one_second(9, false)];
            assert!(on_socket[0].abs_diff(first) <= 1, "the first second has a burst: {on_socket:?}");
            assert!(on_socket[1..].iter().all(|count| count.abs_diff(then) <= 1), "{on_socket:?}");
        }
    }

    #[test]
    fn viewers_leave_descriptors_to_others() {
        let capacity = |files, viewers| Capacity::new(files, viewers, 0);
        assert_eq!((capacity(20_000, 0).viewers, capacity(20_000, 0).descriptors), (19_744, 19_744));
        assert_eq!((capacity(256, 0).viewers, capacity(256, 9).viewers), (192, 9));
        assert_eq!((capacity(20_000, 0).requests, capacity(256, 0).requests), (19_936, 240));
        assert_eq!((capacity(20_000, 0).connections, capacity(256, 0).connections), (10_000, 128));
        assert_eq!(capacity(1_024, 5_000).viewers, 768, "more than the files allow");
        assert_eq!(capacity(usize::MAX, 0).accepts_per_second, None);
    }
}
