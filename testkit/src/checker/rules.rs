//! The rules, one function each.

use std::collections::{HashMap, HashSet};

use super::{
    Breach, Ledger, Outcome, Posted, Rule, Watch,
    watch::{Place, Told, comments},
};

fn breach(rule: Rule, what: String) -> Breach {
    Breach { rule, what }
}

fn each_watch(ledger: &Ledger, rule: Rule, check: impl Fn(&Watch, &mut dyn FnMut(String))) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (number, watch) in ledger.watches.iter().enumerate() {
        check(watch, &mut |what| {
            breaches.push(breach(rule, format!("viewer {number} of {}: {what}", watch.stream)));
        });
    }
    breaches
}

/// Numbers are contiguous but right after a signal.
pub(super) fn c1(ledger: &Ledger) -> Vec<Breach> {
    each_watch(ledger, Rule::C1, |watch, report| {
        let mut last: Option<&Place> = None;
        for told in &watch.told {
            match told {
                Told::Comment { at, .. } => {
                    let fits = last.is_some_and(|last| last.epoch == at.epoch && last.seq + 1 == at.seq);
                    if !fits {
                        report(format!("{at:?} follows {last:?}"));
                    }
                    last = Some(at);
                }
                Told::Resumed(at) => {
                    if last != Some(at) {
                        report(format!("it resumed at {at:?} and not at {last:?}"));
                    }
                }
                Told::Hole(to) => {
                    if last.is_some_and(|last| last.epoch != to.epoch || last.seq > to.seq) {
                        report(format!("a hole goes back from {last:?} to {to:?}"));
                    }
                    last = Some(to);
                }
                Told::Reset(to) => last = Some(to),
            }
        }
    })
}

/// Every acked comment reached every viewer of its stream from the viewer's first place on, or the viewer was told.
pub(super) fn c2(ledger: &Ledger) -> Vec<Breach> {
    let present = present(ledger);
    each_watch(ledger, Rule::C2, |watch, report| {
        let seen: HashSet<_> = watch.comments().map(|(_, id, _)| id).collect();
        let holes = holes(watch);
        let has_reset = watch.resets() > 0;
        for (post, id, seq) in acked(ledger).filter(|(post, ..)| post.stream == watch.stream) {
            let told = holes.iter().any(|(from, to)| (*from + 1..=*to).contains(&seq));
            // Of what a shard forgot, nothing is owed but what the new history holds.
            let may_be_gone = match ledger.forgotten.get(&watch.stream) {
                Some(until) => post.answered <= *until,
                None => has_reset,
            };
            let gone = may_be_gone && !present.contains(id);
            if !seen.contains(id) && !told && !gone {
                report(format!("{} (number {seq}) was acked and never came", post.body));
            }
        }
    })
}

/// The numbers that a viewer was told it misses: after the first up to the second.
fn holes(watch: &Watch) -> Vec<(u64, u64)> {
    let (mut last, mut holes) = (0, Vec::new());
    for told in &watch.told {
        match told {
            Told::Hole(to) => {
                holes.push((last, to.seq));
                last = to.seq;
            }
            Told::Reset(to) => {
                holes.push((0, to.seq));
                last = to.seq;
            }
            Told::Comment { at, .. } => last = at.seq,
            Told::Resumed(_) => {}
        }
    }
    holes
}

/// The ids that viewers have since their last reset.
fn present(ledger: &Ledger) -> HashSet<&str> {
    ledger.watches.iter().flat_map(|watch| comments(watch.present()).map(|(_, id, _)| id)).collect()
}

fn acked(ledger: &Ledger) -> impl Iterator<Item = (&Posted, &str, u64)> {
    ledger.posts.iter().filter_map(|post| match &post.outcome {
        Outcome::Acked { id, seq, .. } => Some((post, id.as_str(), *seq)),
        Outcome::Unknown => None,
    })
}

/// A text is at one place of the present history, and every answer to a post names it; no viewer sees it twice but
/// after a reset.
pub(super) fn c3(ledger: &Ledger) -> Vec<Breach> {
    let mut places: HashMap<(&str, &str), (&str, u64)> = HashMap::new();
    let mut breaches = Vec::new();
    let seen = ledger.watches.iter().flat_map(|watch| {
        comments(watch.present()).map(|(at, id, body)| (watch.stream.as_str(), body, id, at.seq))
    });
    let (present, any_reset) = (present(ledger), ledger.watches.iter().any(|watch| watch.resets() > 0));
    // What a shard lost may be posted again.
    let answered = acked(ledger).filter(|(_, id, _)| !any_reset || present.contains(id));
    let answered = answered.map(|(post, id, seq)| (post.stream.as_str(), post.body.as_str(), id, seq));
    for (stream, body, id, seq) in answered.chain(seen) {
        let place = *places.entry((stream, body)).or_insert((id, seq));
        if place != (id, seq) {
            breaches.push(breach(Rule::C3, format!("{body} of {stream} is {place:?} and {id:?} at {seq}")));
        }
    }
    breaches.extend(each_watch(ledger, Rule::C3, |watch, report| {
        let mut seen = HashSet::new();
        for told in &watch.told {
            match told {
                Told::Comment { id, body, .. } if !seen.insert(id) => report(format!("{body} came twice")),
                Told::Reset(_) => seen.clear(),
                _ => {}
            }
        }
    }));
    breaches
}

/// All viewers agree on what is at a place. After a rollback a number may be used again, under another id; what viewers
/// have since their last reset is of one history all the same.
pub(super) fn c4(ledger: &Ledger) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let (mut all, mut present) = (HashMap::new(), HashMap::new());
    for watch in &ledger.watches {
        let mut enter = |contents: &mut HashMap<_, _>, (at, id, body), distinct| {
            let known = *contents.entry((watch.stream.as_str(), at, distinct)).or_insert((id, body));
            if known != (id, body) {
                let what = format!("{at:?} of {} is {known:?} and {:?}", watch.stream, (id, body));
                breaches.push(breach(Rule::C4, what));
            }
        };
        for (at, id, body) in watch.comments() {
            enter(&mut all, (at, id, body), if ledger.rolled_back { id } else { "" });
        }
        for comment in comments(watch.present()) {
            enter(&mut present, comment, "");
        }
    }
    breaches
}

/// What was posted after an answer has the greater number, as far as both are in the present history.
pub(super) fn c5(ledger: &Ledger) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let present: HashMap<&str, u64> = ledger
        .watches
        .iter()
        .flat_map(|watch| comments(watch.present()).map(|(at, id, _)| (id, at.seq)))
        .collect();
    let mut first: Vec<_> = acked(ledger)
        .filter(|(post, ..)| !matches!(post.outcome, Outcome::Acked { duplicate: true, .. }))
        .filter(|(_, id, _)| present.contains_key(id))
        .collect();
    first.sort_by_key(|(post, ..)| post.answered);
    let mut streams: HashMap<&str, Vec<(&Posted, u64)>> = HashMap::new();
    for (post, _, seq) in first {
        streams.entry(&post.stream).or_default().push((post, seq));
    }
    for posts in streams.values() {
        // The greatest number among those that were answered up to each.
        let greatest: Vec<u64> = posts
            .iter()
            .scan(0, |most, (_, seq)| {
                *most = (*most).max(*seq);
                Some(*most)
            })
            .collect();
        for (post, seq) in posts {
            let before = posts.partition_point(|(other, _)| other.answered < post.sent);
            if before > 0 && greatest[before - 1] >= *seq {
                let what = format!("{} has {seq} after an answer with {}", post.body, greatest[before - 1]);
                breaches.push(breach(Rule::C5, what));
            }
        }
    }
    breaches
}

/// Nothing was delivered that nobody sent to that stream.
pub(super) fn c6(ledger: &Ledger) -> Vec<Breach> {
    let sent: HashSet<_> =
        ledger.posts.iter().map(|post| (post.stream.as_str(), post.body.as_str())).collect();
    each_watch(ledger, Rule::C6, |watch, report| {
        for (at, _, body) in watch.comments() {
            if !sent.contains(&(watch.stream.as_str(), body)) {
                report(format!("{body:?} at {at:?} was sent by nobody"));
            }
        }
    })
}

/// After quiet a pod holds no more than before.
pub(super) fn c7(ledger: &Ledger) -> Vec<Breach> {
    let left = ledger.rests.iter().flat_map(|rest| {
        rest.left_behind().into_iter().map(|what| breach(Rule::C7, format!("{}: {what}", rest.pod)))
    });
    left.collect()
}
