//! The addresses behind a shard's name: the order in which they are tried, and the name's move to others.

use std::{net::SocketAddr, time::Duration};

use fred::error::{Error, ErrorKind};
use tokio::{
    net::lookup_host,
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::connection::{Address, CONNECT_TIMEOUT};

/// The mean time between two looks at the name of a shard: calm for name servers, and soon enough for a planned move.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The most addresses that one attempt tries.
const MOST: usize = 4;

/// Resolves a host and a port, as the system does.
///
/// # Errors
/// The name has no address, or nobody answered in time.
pub(super) async fn resolve(place: &str) -> Result<Vec<SocketAddr>, Error> {
    let error = |reason: &str| Error::new(ErrorKind::IO, format!("name not resolved: {reason}"));
    match timeout(CONNECT_TIMEOUT, lookup_host(place)).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(fault)) => Err(error(&fault.to_string())),
        Err(_) => Err(error("no answer in time")),
    }
}

/// The addresses that were of no use, and when they last were. It forgets those that the name leads to no more.
#[derive(Debug, Default)]
pub(super) struct Failures(Vec<(SocketAddr, Instant)>);

impl Failures {
    /// Records that an address was of no use.
    pub(super) fn record(&mut self, peer: SocketAddr) {
        self.0.retain(|(failed, _)| *failed != peer);
        self.0.push((peer, Instant::now()));
    }

    /// The addresses to try now, in this order: those that never failed as the resolver sorted them, then those whose
    /// failure is the longest ago.
    pub(super) fn order(&mut self, mut found: Vec<SocketAddr>) -> Vec<SocketAddr> {
        self.0.retain(|(failed, _)| found.contains(failed));
        let failed_at = |peer: &SocketAddr| {
            self.0.iter().find(|(failed, _)| failed == peer).map(|(_, failed_at)| *failed_at)
        };
        found.sort_by_key(failed_at);
        found.truncate(MOST);
        found
    }
}

/// The addresses to which a name leads, by its last two answers: none before there were two.
///
/// An address that one answer leaves out may be in the next one, where a name server takes turns.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    place: String,
    addresses: Vec<SocketAddr>,
    /// When the first of the two was asked for; `None` before there were two.
    asked: Option<Instant>,
}

impl Answers {
    /// Returns whether the name leads elsewhere than to an address that it had at a time. Answers from before that time
    /// say nothing about it.
    pub(super) fn have_left(&self, place: &str, peer: SocketAddr, had: Instant) -> bool {
        let is_newer = self.asked.is_some_and(|asked| asked > had);
        is_newer && self.place == place && !self.addresses.contains(&peer)
    }
}

/// Looks at the name of a shard without end, and tells its answers. A look that fails says nothing.
pub(super) async fn follow(address: watch::Receiver<Address>, answers: watch::Sender<Answers>) {
    let mut last = Answers::default();
    loop {
        // Pods that were started together ask at different times.
        sleep(LOOK_EVERY.mul_f64(0.75 + rand::random::<f64>() / 2.0)).await;
        let (place, asked) = (address.borrow().place(), Some(Instant::now()));
        // Without a limit of time: a resolver that hangs has one look to answer.
        let Ok(found) = lookup_host(place.as_str()).await else { continue };
        let addresses = found.collect();
        let now = Answers { place, addresses, asked };
        if last.place == now.place {
            let addresses = [&now.addresses[..], &last.addresses].concat();
            answers.send_replace(Answers { place: now.place.clone(), addresses, asked: last.asked });
        }
        last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 6379))
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_take_turns_among_addresses_that_fail() {
        let mut failures = Failures::default();
        let found: Vec<_> = (1..=3).map(peer).collect();
        assert_eq!(failures.order(found.clone()), found, "as the resolver sorts them");
        let mut tried = Vec::new();
        for _ in 0..6 {
            let first = failures.order(found.clone())[0];
            failures.record(first);
            tried.push(first);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(tried, [1, 2, 3, 1, 2, 3].map(peer));
        assert_eq!(failures.order(vec![peer(3), peer(4)]), [peer(4), peer(3)]);
        assert_eq!(failures.0.len(), 1, "what the name leads to no more is forgotten");
        assert_eq!(failures.order((1..100).map(peer).collect()).len(), MOST);
    }

    /// Symptom: a connection to a name's new address was taken for one to an old address, again and again. Cause: it was
    /// judged by answers from before it was made.
    #[tokio::test(start_paused = true)]
    async fn a_name_has_left_an_address_that_neither_of_two_later_answers_has() {
        let had = Instant::now();
        let at = |asked| Answers { place: "a:1".to_owned(), addresses: vec![peer(1), peer(2)], asked };
        assert!(!at(None).have_left("a:1", peer(3), had));
        assert!(!at(Some(had)).have_left("a:1", peer(3), had), "the first of the two is no later one");
        tokio::time::advance(Duration::from_secs(1)).await;
        let answers = at(Some(Instant::now()));
        assert!(!answers.have_left("a:1", peer(2), had));
        assert!(answers.have_left("a:1", peer(3), had));
        assert!(!answers.have_left("b:1", peer(3), had), "nothing is known of another name");
    }
}
