//! Each rule of the checker rejects a log with one planted fault.

use super::*;
use crate::{
    check::tally::Counts,
    protocol::{mark::PostId, scan::scan},
};

/// One stream, its posts all acked, and some viewers.
struct Fixture {
    ledger: Ledger,
    tally: Tally,
    viewers: Vec<Checker>,
}

impl Fixture {
    /// Posts 0..posts have the seqs 1..=posts.
    fn new(posts: u32, viewers: usize) -> Self {
        let mut ledger = Ledger::default();
        for number in 0..posts {
            ledger.offer(PostId::comment(number));
            ledger.offer(PostId::gift(number));
            let seq = u64::from(number) + 1;
            assert_eq!(ledger.ack(PostId::comment(number), seq, id(seq).as_bytes(), 10), Fit::Agrees);
        }
        let viewers = (0..viewers).map(|_| Checker::new(1, 2)).collect();
        Self { ledger, tally: Tally::default(), viewers }
    }

    fn say(&mut self, viewer: usize, text: &str) {
        let mut entries = Vec::new();
        let frame = scan(text, &mut entries).unwrap();
        let tally = (&mut self.tally, 50);
        self.viewers[viewer].ordered(&frame, &entries, &mut self.ledger, tally).unwrap();
    }

    fn see(&mut self, viewer: usize, seqs: impl IntoIterator<Item = u64>) {
        for seq in seqs {
            self.say(viewer, &comment("e1", seq, seq as u32 - 1));
        }
    }

    fn balance(&mut self, viewer: usize) -> Balance {
        let closed = self.ledger.close();
        self.viewers[viewer].balance(&closed, Stay::ToTheEnd)
    }

    fn lost(&mut self) -> Vec<u64> {
        (0..self.viewers.len()).map(|viewer| self.balance(viewer).lost).collect()
    }

    /// The faults that do not wait for the balance.
    fn faults(&self) -> Counts {
        let Counts {
            duplicates,
            inversions,
            disagreements,
            stored_twice,
            foreign,
            silent_resets,
            garbage,
            ..
        } = self.tally.counts;
        let none = Counts::default();
        Counts {
            duplicates,
            inversions,
            disagreements,
            stored_twice,
            foreign,
            silent_resets,
            garbage,
            ..none
        }
    }
}

fn id(seq: u64) -> String {
    format!("c{seq}")
}

fn entry(seq: u64, id: &str, post: PostId) -> String {
    let body = Mark { run: 1, stream: 2, post, due_us: 7 }.body(60);
    format!(r#"{{"id":"{id}","seq":{seq},"kind":"comment","author":{{}},"body":"{body}","at":1}}"#)
}

fn frame(epoch: &str, seq: u64, entry: &str) -> String {
    format!(r#"{{"type":"comments","comments":[{entry}],"position":"{epoch}.{seq}"}}"#)
}

fn comment(epoch: &str, seq: u64, post: u32) -> String {
    frame(epoch, seq, &entry(seq, &id(seq), PostId::comment(post)))
}

#[test]
fn a_good_log_has_no_faults() {
    let mut fixture = Fixture::new(5, 2);
    fixture.see(0, 1..=5);
    fixture.see(1, 1..=5);
    assert_eq!(fixture.faults(), Counts::default());
    assert_eq!(fixture.balance(0), Balance { expected: 5, ..Balance::default() });
    assert_eq!(fixture.tally.counts.delivered, 10);
    assert_eq!(fixture.tally.delivery.quantiles().max_us, 43);
}

#[test]
fn loss_is_found_wherever_it_is() {
    let mut fixture = Fixture::new(6, 5);
    fixture.see(0, [1, 2, 5, 6]);
    fixture.see(1, 3..=6);
    fixture.see(2, 1..=4);
    fixture.see(4, 1..=6);
    assert_eq!(fixture.lost(), [2, 2, 2, 6, 0]);
    assert_eq!(fixture.balance(3).expected, 6);
}

#[test]
fn an_acked_post_that_nobody_saw_is_lost_for_all() {
    let mut fixture = Fixture::new(4, 2);
    fixture.see(0, [1, 2, 4]);
    fixture.see(1, [1, 2]);
    assert_eq!(fixture.lost(), [1, 2]);
    let mut tail = Fixture::new(4, 2);
    tail.see(0, 1..=3);
    tail.see(1, 1..=3);
    assert_eq!(tail.lost(), [1, 1]);
    assert_eq!(Fixture::new(3, 1).lost(), [3]);
}

#[test]
fn duplicates_and_inversions_are_told_apart() {
    let mut fixture = Fixture::new(5, 1);
    fixture.see(0, [1, 2, 2, 4, 3, 5, 1]);
    assert_eq!(fixture.faults(), Counts { duplicates: 2, inversions: 1, ..Counts::default() });
    assert_eq!(fixture.lost(), [0]);
}

#[test]
fn a_late_front_is_an_inversion() {
    let mut fixture = Fixture::new(4, 1);
    fixture.see(0, [4, 1, 2]);
    assert_eq!(fixture.faults(), Counts { inversions: 2, ..Counts::default() });
    assert_eq!(fixture.lost(), [1]);
}

#[test]
fn what_skipped_announces_is_not_loss_but_no_more_than_that() {
    let mut fixture = Fixture::new(9, 2);
    for viewer in [0, 1] {
        fixture.see(viewer, [1, 2]);
        fixture.say(viewer, r#"{"type":"skipped","count":3,"position":"e1.5"}"#);
    }
    fixture.see(0, 6..=9);
    fixture.see(1, [7, 8, 9]);
    assert_eq!(fixture.lost(), [0, 1]);
    assert_eq!(fixture.balance(1).signalled, 3);
}

#[test]
fn an_announcement_holds_for_the_next_entry_only() {
    let mut fixture = Fixture::new(9, 1);
    fixture.see(0, [1]);
    fixture.say(0, r#"{"type":"gap","from":2,"to":3,"position":"e1.3"}"#);
    fixture.see(0, [4, 6, 7, 8, 9]);
    let balance = fixture.balance(0);
    assert_eq!((balance.signalled, balance.lost), (2, 1));
}

#[test]
fn a_tail_may_be_announced_too() {
    let mut fixture = Fixture::new(5, 2);
    fixture.see(1, 1..=5);
    fixture.see(0, [1, 2]);
    fixture.say(0, r#"{"type":"skipped","count":2,"position":"e1.4"}"#);
    assert_eq!(fixture.lost(), [1, 0]);
}

#[test]
fn a_skipped_gift_is_counted() {
    let mut fixture = Fixture::new(3, 2);
    fixture.see(0, [1]);
    fixture.see(1, [1]);
    fixture.say(1, &frame("e1", 2, &entry(2, "c2", PostId::gift(0))));
    fixture.say(0, r#"{"type":"skipped","count":1,"position":"e1.2"}"#);
    fixture.see(0, [3]);
    assert_eq!(fixture.balance(0).gifts_skipped, 1);
}

#[test]
fn two_viewers_who_were_told_different_things_disagree() {
    let mut fixture = Fixture::new(3, 2);
    fixture.see(0, [1, 2]);
    fixture.see(1, [1]);
    fixture.say(1, &frame("e1", 2, &entry(2, "c2", PostId::comment(2))));
    assert_eq!(fixture.faults().disagreements, 1);
    let mut ids = Fixture::new(3, 2);
    ids.see(0, [1]);
    ids.say(1, &frame("e1", 1, &entry(1, "other", PostId::comment(0))));
    assert_eq!(ids.faults().disagreements, 1);
}

#[test]
fn a_post_at_another_place_than_its_ack_said_disagrees() {
    let mut fixture = Fixture::new(3, 1);
    fixture.say(0, &comment("e1", 1, 1));
    assert_eq!(fixture.faults().disagreements, 1);
}

#[test]
fn a_post_that_stands_twice_is_counted() {
    let mut fixture = Fixture::new(3, 1);
    fixture.see(0, [1, 2]);
    fixture.say(0, &comment("e1", 3, 1));
    assert_eq!(fixture.faults().stored_twice, 1);
}

#[test]
fn what_nobody_posted_is_foreign() {
    let mut fixture = Fixture::new(1, 1);
    fixture.say(0, &comment("e1", 1, 77));
    let stranger = r#"{"id":"x","seq":2,"kind":"comment","author":{},"body":"hello","at":1}"#;
    fixture.say(0, &frame("e1", 2, stranger));
    assert_eq!(fixture.faults().foreign, 2);
}

#[test]
fn a_new_epoch_needs_a_reset() {
    let mut fixture = Fixture::new(4, 2);
    for viewer in [0, 1] {
        fixture.see(viewer, [1, 2]);
    }
    fixture.say(0, r#"{"type":"reset","position":"e2.0"}"#);
    for viewer in [0, 1] {
        fixture.say(viewer, &comment("e2", 1, 2));
        fixture.say(viewer, &comment("e2", 2, 3));
    }
    assert_eq!(fixture.faults(), Counts { silent_resets: 1, ..Counts::default() });
    assert_eq!(fixture.lost(), [0, 0]);
}

#[test]
fn an_absurd_seq_costs_no_memory() {
    let mut fixture = Fixture::new(2, 1);
    fixture.see(0, [1]);
    fixture.say(0, &comment("e1", 1 << 50, 1));
    fixture.see(0, [2]);
    assert_eq!(fixture.faults(), Counts { garbage: 1, ..Counts::default() });
    assert_eq!(fixture.lost(), [0]);
}
