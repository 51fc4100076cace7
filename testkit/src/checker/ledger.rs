//! The checker: what posters and viewers saw, held against what is promised (rules C1 to C7 of the guarantees).
//!
//! Viewers' logs are the frames as they came, over all sockets of one viewer that resumes; every comment's text is its
//! own. The checker knows the protocol and nothing of the server.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    time::{Duration, Instant},
};

use super::{Posted, Rest, Watch, rules};

/// Everything that posters and viewers of some streams saw.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Every attempt to post.
    pub posts: Vec<Posted>,
    /// Every viewer's log.
    pub watches: Vec<Watch>,
    /// Whether a shard went back to an older copy of itself, which uses numbers of the lost entries again.
    pub rolled_back: bool,
    /// Streams whose shard forgot entries, and until when: what was acked later is owed to every viewer. Of a stream
    /// that is not named here, nothing is owed to viewers with a reset but what the history holds.
    pub forgotten: HashMap<String, Instant>,
    /// Pods, before anything and after everything.
    pub rests: Vec<Rest>,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// The rule that was broken.
    pub rule: Rule,
    /// The evidence, for people.
    pub what: String,
}

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Numbers are contiguous but right after `skipped`, `gap` or `reset`.
    C1,
    /// Every acked comment reached every viewer, or the viewer was told.
    C2,
    /// A post with an id is in the stream once, however often it was sent.
    C3,
    /// All viewers agree on what is at a place.
    C4,
    /// What was posted after an answer has the greater number.
    C5,
    /// Nothing was delivered that nobody sent.
    C6,
    /// After quiet a pod holds no more than before.
    C7,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

impl Ledger {
    /// Fails the test if a promise was broken.
    pub fn assert_kept(&self) {
        let breaches = self.breaches();
        let first: Vec<_> = breaches.iter().take(10).map(ToString::to_string).collect();
        assert!(breaches.is_empty(), "{} breaches, the first are\n{}", breaches.len(), first.join("\n"));
    }

    /// Fails the test if anything was lost, or any viewer was told that it misses something, or an answer never came.
    pub fn assert_nothing_lost(&self) {
        self.assert_kept();
        for watch in &self.watches {
            assert_eq!((watch.resets(), watch.holes()), (0, 0), "signals to a viewer of {}", watch.stream);
        }
        self.assert_all_acked();
    }

    /// Fails the test if a post was never answered.
    pub fn assert_all_acked(&self) {
        let acked: HashSet<_> =
            self.posts.iter().filter(|post| post.is_acked()).map(|post| &post.body).collect();
        let lost = self.posts.iter().find(|post| !acked.contains(&post.body));
        assert!(lost.is_none(), "never answered: {lost:?}");
    }

    /// The attempts to post to these streams: how many were not acked, and how long the slowest took.
    pub fn attempts(&self, streams: &[String]) -> (usize, Duration) {
        let of_streams = || self.posts.iter().filter(|post| streams.contains(&post.stream));
        let took = of_streams().map(|post| post.answered - post.sent).max();
        (of_streams().filter(|post| !post.is_acked()).count(), took.unwrap_or_default())
    }

    /// The times of the posts to these streams that were sent between the first and the last failure of those, and of the
    /// others; `None` for one that was not acked. Without a failure all are others.
    pub fn beside_failures(&self, failing: &[String], streams: &[String]) -> [Vec<Option<Duration>>; 2] {
        let failures = self.posts.iter().filter(|post| failing.contains(&post.stream) && !post.is_acked());
        let (first, last) =
            (failures.clone().map(|post| post.sent).min(), failures.map(|post| post.answered).max());
        let outage = first.zip(last).map(|(first, last)| first..last);
        let of_streams = self.posts.iter().filter(|post| streams.contains(&post.stream));
        let (beside, others): (Vec<_>, Vec<_>) =
            of_streams.partition(|post| outage.as_ref().is_some_and(|outage| outage.contains(&post.sent)));
        [beside, others].map(|posts| {
            posts.iter().map(|post| post.is_acked().then(|| post.answered - post.sent)).collect()
        })
    }

    /// Every promise that was broken.
    pub fn breaches(&self) -> Vec<Breach> {
        [rules::c1, rules::c2, rules::c3, rules::c4, rules::c5, rules::c6, rules::c7]
            .iter()
            .flat_map(|rule| rule(self))
            .collect()
    }
}
