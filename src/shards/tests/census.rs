//! What a pod tells a shard about its viewers, and when.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::{
    domain::StreamId,
    shards::{
        audience::{
            pending_users::PendingUsers,
            sync::{AudienceSync, Call, RECOVERS, ROUND, STREAMS, USERS},
        },
        backend::types::{Counted, Unavailable},
    },
};

const STREAM: &str = "s";

/// A pod's viewers, and a shard that takes what it is told.
struct Pod {
    census: AudienceSync,
    pending_users: PendingUsers,
    viewers: HashMap<StreamId, u64>,
    now: Instant,
}

impl Pod {
    fn new(viewers: impl IntoIterator<Item = (String, u64)>) -> Self {
        let (pending_users, now) = (PendingUsers::default(), Instant::now());
        let viewers = viewers.into_iter().map(|(stream, viewers)| (id(&stream), viewers)).collect();
        Self { census: AudienceSync::new(pending_users.clone(), now), pending_users, viewers, now }
    }

    fn with(stream: &str, viewers: u64) -> Self {
        Self::new([(stream.to_owned(), viewers)])
    }

    fn round(&mut self) {
        self.now += ROUND;
        assert!(self.census.is_due(self.now));
        let viewers = |stream: &StreamId| self.viewers.get(stream).copied().unwrap_or(0);
        self.census.round(self.viewers.keys(), viewers, self.now);
    }

    fn call(&mut self) -> Option<Call> {
        let viewers = |stream: &StreamId| self.viewers.get(stream).copied().unwrap_or(0);
        self.census.next_call(viewers, self.now)
    }

    fn answer(&mut self, call: Call, is_new: bool) {
        let elsewhere = vec![0; call.counts.len()];
        let taken = Counted::Taken { is_new, is_more: false, elsewhere };
        self.census.answered(call, Ok(taken), self.now);
    }

    fn believes(&mut self, elsewhere: u64, before: u64) -> bool {
        self.census.believes(&id(STREAM), elsewhere, before)
    }

    /// All calls of a round, each of which is taken.
    fn calls(&mut self) -> Vec<Call> {
        self.round();
        let mut calls = Vec::new();
        while let Some(call) = self.call() {
            assert!(self.call().is_none(), "one at a time");
            calls.push(call.clone());
            self.answer(call, false);
        }
        calls
    }

    /// What one round tells: stream, viewers, users.
    fn tells(&mut self) -> Vec<(String, u64, usize)> {
        let counts = self.calls().into_iter().flat_map(|call| call.counts);
        counts.map(|count| (count.stream.to_string(), count.viewers, count.users.len())).collect()
    }
}

fn id(stream: &str) -> StreamId {
    stream.parse().unwrap()
}

fn told(stream: &str, viewers: u64, users: usize) -> Vec<(String, u64, usize)> {
    vec![(stream.to_owned(), viewers, users)]
}

#[test]
fn what_did_not_change_is_not_told_and_a_pod_without_viewers_is_silent() {
    let mut pod = Pod::with(STREAM, 2);
    pod.pending_users.note(&id(STREAM), &[1, 2]);
    assert_eq!(pod.tells(), told(STREAM, 2, 2));
    let calls = pod.calls();
    assert!(calls.len() == 1 && calls[0].counts.is_empty(), "the pod says that it lives: {calls:?}");
    pod.viewers.insert(id(STREAM), 1);
    assert_eq!(pod.tells(), told(STREAM, 1, 0));
    // The last one is gone, and so is the stream.
    pod.viewers.clear();
    assert_eq!(pod.tells(), told(STREAM, 0, 0));
    assert_eq!(pod.calls(), []);
}

#[test]
fn fifty_thousand_streams_are_told_in_few_calls_and_then_in_one() {
    let mut pod = Pod::new((0..50_000).map(|n| (format!("s{n}"), 1)));
    pod.pending_users.note(&id("s7"), &[7; 9_000]);
    let calls = pod.calls();
    assert!((250..260).contains(&calls.len()), "{}", calls.len());
    let users = |call: &Call| call.counts.iter().map(|count| count.users.len()).sum::<usize>();
    assert!(calls.iter().all(|call| call.counts.len() <= STREAMS && users(call) <= USERS));
    assert_eq!(calls.iter().map(users).sum::<usize>(), 9_000);
    assert_eq!(pod.calls().len(), 1);
}

#[test]
fn what_failed_is_told_by_the_next_round_and_no_sooner() {
    let mut pod = Pod::with(STREAM, 1);
    pod.pending_users.note(&id(STREAM), &[1, 2]);
    pod.round();
    let call = pod.call().unwrap();
    assert_eq!(pod.census.answered(call, Err(Unavailable), pod.now), []);
    assert_eq!(pod.call(), None);
    pod.viewers.insert(id(STREAM), 5);
    assert_eq!(pod.tells(), told(STREAM, 5, 2));
}

#[test]
fn a_shard_that_forgot_is_told_everything_and_not_believed_until_others_had_time() {
    let mut pod = Pod::new([("a".to_owned(), 1), ("b".to_owned(), 2)]);
    assert_eq!(pod.tells().len(), 2);
    assert!(pod.believes(0, 100), "a number that gets smaller");
    pod.viewers.insert(id("a"), 3);
    pod.round();
    let call = pod.call().unwrap();
    assert_eq!(call.counts.len(), 1);
    pod.answer(call, true);
    assert!(pod.census.is_due(pod.now), "at once");
    assert!(!pod.believes(0, 100) && pod.believes(101, 100));
    assert_eq!(pod.tells(), told("b", 2, 0));
    let (mut rounds, mut most) = (0, 0);
    while !pod.believes(0, 100) {
        rounds += 1;
        assert!(rounds < 6);
        pod.round();
        while let Some(call) = pod.call() {
            most = most.max(call.counts.len());
            pod.answer(call, false);
        }
    }
    assert_eq!(most, 2, "all is asked for again");
    assert!(rounds > 1, "others come back in that time");
}

/// Symptom: after an outage a pod told its viewers for two seconds that nobody watched elsewhere. Cause: the number that
/// its first call published came on another connection, before the answer that the shard had forgotten all pods.
#[test]
fn a_smaller_number_that_overtakes_the_first_answer_after_an_outage_is_not_believed() {
    let mut pod = Pod::with(STREAM, 1);
    pod.calls();
    pod.viewers.insert(id(STREAM), 3);
    pod.round();
    let call = pod.call().unwrap();
    assert_eq!(pod.census.answered(call, Err(Unavailable), pod.now), []);
    assert!(!pod.believes(0, 100) && pod.believes(101, 100));
    pod.round();
    let call = pod.call().unwrap();
    assert!(!pod.believes(0, 100), "the call is under way");
    pod.answer(call, true);
    assert!(!pod.believes(0, 100));
}

/// Symptom: after a FLUSHALL without an outage a pod told the viewers of a stream, to which somebody had just come, that
/// nobody watched elsewhere. Cause: as above, and no call had failed before.
#[test]
fn a_smaller_number_that_overtakes_the_answer_of_a_shard_that_forgot_is_not_believed() {
    for is_new in [true, false] {
        let mut pod = Pod::with(STREAM, 1);
        pod.calls();
        pod.viewers.insert(id(STREAM), 3);
        pod.round();
        let call = pod.call().unwrap();
        let extra = pod.census.extra_calls(&[id("b")], |_| 1);
        assert!(!pod.believes(0, 100), "calls are under way");
        pod.answer(call, is_new);
        assert_eq!(pod.census.waited(), [], "one is still");
        extra.into_iter().for_each(|call| pod.answer(call, false));
        assert_eq!(pod.census.waited(), [(id(STREAM), 0)]);
        assert_eq!(pod.believes(0, 100), !is_new);
    }
}

#[test]
fn a_later_number_takes_the_place_of_one_that_waits() {
    let mut pod = Pod::with(STREAM, 1);
    pod.round();
    let call = pod.call().unwrap();
    assert!(!pod.believes(5, 100) && !pod.believes(6, 100) && pod.believes(101, 100));
    assert!(!pod.believes(7, 101));
    pod.answer(call, false);
    assert_eq!(pod.census.waited(), [(id(STREAM), 7)]);
    assert!(pod.believes(7, 101));
}

/// Symptom: on a busy machine viewers were told fewer while the pods came back to a shard without its files. Cause: the
/// call that the shard knew nothing of took too long, and the next one was answered as if nothing had been forgotten.
#[test]
fn a_shard_whose_answer_was_lost_may_have_forgotten() {
    let mut pod = Pod::new([("a".to_owned(), 1), ("b".to_owned(), 2)]);
    pod.calls();
    pod.viewers.insert(id("a"), 3);
    pod.round();
    let call = pod.call().unwrap();
    assert_eq!(pod.census.answered(call, Err(Unavailable), pod.now), []);
    let told = pod.calls();
    assert!(!pod.believes(0, 100));
    let told: Vec<_> = told.iter().flat_map(|call| &call.counts).map(|count| count.stream.clone()).collect();
    assert!(told.contains(&id("a")) && told.contains(&id("b")), "{told:?}");
}

#[test]
fn who_is_put_off_asks_again_at_once_and_loses_nothing() {
    let mut pod = Pod::with(STREAM, 1);
    pod.pending_users.note(&id(STREAM), &[9]);
    pod.round();
    for _ in 0..3 {
        let call = pod.call().unwrap();
        assert_eq!((call.counts.len(), &call.counts[0].users[..]), (1, &[9][..]));
        assert_eq!(pod.census.answered(call, Ok(Counted::Later), pod.now), []);
    }
    let call = pod.call().unwrap();
    let more = Counted::Taken { is_new: true, is_more: true, elsewhere: vec![4] };
    assert_eq!(pod.census.answered(call, Ok(more), pod.now), [(id(STREAM), 4)]);
    assert_eq!(pod.call().map(|call| call.counts.len()), Some(0), "more is to be taken out");
}

#[test]
fn what_is_to_be_kept_is_said_in_every_call_also_when_one_fails() {
    let mut pod = Pod::new((0..300).map(|n| (format!("s{n}"), 1)));
    assert_eq!(pod.tells().len(), 300);
    pod.census.renew();
    let call = pod.call().unwrap();
    assert!(call.keeps && call.counts.len() == STREAMS);
    pod.census.answered(call, Err(Unavailable), pod.now);
    let calls = pod.calls();
    assert!(calls.len() == 2 && calls.iter().all(|call| call.keeps), "{calls:?}");
    assert!(pod.calls().iter().all(|call| !call.keeps));
}

#[test]
fn streams_that_are_opened_are_counted_out_of_turn() {
    let mut pod = Pod::new((0..250).map(|n| (format!("s{n}"), 1)));
    let streams: Vec<_> = pod.viewers.keys().cloned().collect();
    let calls = pod.census.extra_calls(&streams, |_| 1);
    assert_eq!(calls.iter().map(|call| call.counts.len()).collect::<Vec<_>>(), [200, 50]);
    for call in calls {
        pod.answer(call, false);
    }
    assert_eq!(pod.tells(), [], "the round has nothing to add");
}

/// Symptom: a pod that stood still for some seconds raised `peak_viewers` by the viewers who had left it for another pod.
/// Cause: its first call said that they were there still, and so confirmed the other pod's gain.
#[test]
fn a_pod_that_stood_still_first_takes_note_of_who_left() {
    let mut pod = Pod::with(STREAM, 2);
    assert_eq!(pod.tells(), told(STREAM, 2, 0));
    pod.round();
    pod.census.tick(pod.now);
    assert_eq!(pod.call(), None, "the round came two seconds after the last tick");
    pod.viewers.clear();
    pod.now += RECOVERS;
    pod.census.tick(pod.now);
    pod.round();
    assert_eq!(pod.call().map(|call| call.counts[0].viewers), Some(0));
}

/// A pod whose every tick is late is counted all the same.
#[test]
fn a_pod_that_always_stands_still_tells_what_it_has() {
    let mut pod = Pod::with(STREAM, 2);
    for _ in 0..2 {
        pod.round();
        pod.census.tick(pod.now);
    }
    assert!(pod.call().is_some());
}
