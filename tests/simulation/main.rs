//! `make simulate`: histories of several pods and shards in virtual time, each by its seed, held against the checker's
//! rules. `SEEDS` says how many (1,000) and `SEED` where to begin; a failing one is shrunk to its fewest steps, and
//! printed with the command that repeats it.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "what fails here fails a test, and says so"
)]

mod shrink;

use std::{
    env,
    time::{Duration, Instant},
};

use fanfare::domain::PlantedFault;
use fanfare::shards::simulation::{Plan, SimulatedHistory, SimulatedPost, Simulator};
use testkit::checker::{Breach, Footprint, Ledger, Outcome, Posted, Rest, Rule, Watch};

/// The number that a variable holds.
fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {value:?}")))
}

/// What posters and viewers saw, for the checker.
fn ledger(history: SimulatedHistory) -> Ledger {
    let began = Instant::now();
    let posted = |post: SimulatedPost| Posted {
        stream: post.stream,
        body: post.body,
        sent: began + post.sent,
        answered: began + post.answered,
        outcome: post.acked.map_or(Outcome::Unknown, |(id, seq, duplicate)| Outcome::Acked {
            id,
            seq,
            duplicate,
        }),
    };
    let rest = |(pod, [viewers, streams, subscriptions]): (usize, [u64; 3])| Rest {
        pod: format!("pod {pod}"),
        before: Footprint::default(),
        after: Footprint { viewers, streams, subscriptions, ..Footprint::default() },
        most_viewers: 0,
    };
    Ledger {
        posts: history.posts.into_iter().map(posted).collect(),
        watches: history.viewers.iter().map(|(stream, frames)| Watch::of(stream, frames)).collect(),
        rolled_back: history.rolled_back,
        forgotten: history.forgotten.into_iter().map(|(stream, until)| (stream, began + until)).collect(),
        rests: history.rests.into_iter().enumerate().map(rest).collect(),
    }
}

/// Every promise that a plan's history breaks.
fn breaches_of(simulator: &Simulator, plan: &Plan) -> Vec<Breach> {
    ledger(simulator.run(plan)).breaches()
}

/// The rules that a plan's history breaks.
fn broken(simulator: &Simulator, plan: &Plan) -> Vec<Rule> {
    let mut rules: Vec<_> = breaches_of(simulator, plan).into_iter().map(|breach| breach.rule).collect();
    rules.dedup();
    rules
}

/// Fails the test with the fewest steps of a plan that break the same rule.
fn fail(simulator: &Simulator, plan: &Plan, breaches: &[Breach]) -> ! {
    let rule = breaches[0].rule;
    let least = shrink::shrink(plan, |plan| broken(simulator, plan).contains(&rule));
    let steps: Vec<_> = least.steps.iter().map(|(at, step)| format!("  {at:>6} ms  {step:?}")).collect();
    let what: Vec<_> = breaches_of(simulator, &least).iter().take(10).map(ToString::to_string).collect();
    panic!(
        "seed {} breaks {} promises; the first is {}\n{:?}\nits fewest steps, {} of {}:\n{}\nbreak\n{}\nrepeat it: \
         SEED={} SEEDS=1 make simulate",
        plan.seed,
        breaches.len(),
        breaches[0],
        least.shape,
        least.steps.len(),
        plan.steps.len(),
        steps.join("\n"),
        what.join("\n"),
        plan.seed,
    );
}

/// G1 to G6 in every order of events that the seeds give.
#[test]
fn no_history_breaks_a_promise() {
    let (first, seeds) = (number("SEED").unwrap_or(1), number("SEEDS").unwrap_or(1_000));
    let simulator = Simulator::new().unwrap();
    let (began, mut events, mut frames) = (Instant::now(), 0, 0);
    for seed in first..first + seeds {
        let plan = Plan::of_seed(seed);
        let history = simulator.run(&plan);
        events += history.events;
        frames += history.viewers.iter().map(|(_, frames)| frames.len()).sum::<usize>();
        let breaches = ledger(history).breaches();
        if !breaches.is_empty() {
            fail(&simulator, &plan, &breaches);
        }
    }
    let took = began.elapsed();
    let each = took.checked_div(u32::try_from(seeds).unwrap_or(u32::MAX)).unwrap_or(Duration::ZERO);
    println!(
        "{seeds} histories of a virtual minute in {took:.1?}, {each:.1?} each: {events} events, {frames} frames"
    );
    assert!(frames > 0, "viewers saw something");
}

/// How many seeds a planted fault may hide from.
const SEEDS_TO_A_FAULT: u64 = 10_000;

/// The simulator sees: each fault that is planted in chain, interest, keeper or hub breaks a promise of some history.
#[test]
fn each_planted_fault_is_found() {
    let simulator = Simulator::new().unwrap();
    for fault in PlantedFault::ALL {
        PlantedFault::plant(Some(fault));
        let found = (1..=SEEDS_TO_A_FAULT).find_map(|seed| {
            let breach = breaches_of(&simulator, &Plan::of_seed(seed)).into_iter().next()?;
            Some((seed, breach))
        });
        PlantedFault::plant(None);
        let (seed, breach) = found.unwrap_or_else(|| panic!("{fault:?} is never found"));
        println!("{fault:?}: seed {seed}, {breach}");
    }
}

/// The same seed gives the same history: what fails can be repeated.
#[test]
fn a_seed_gives_the_same_history() {
    let simulator = Simulator::new().unwrap();
    let seen = |seed| {
        let history = simulator.run(&Plan::of_seed(seed));
        // Ids are random, and the order of things is not.
        let bodies = |frames: &[serde_json::Value]| {
            let comments = frames.iter().flat_map(|frame| frame["comments"].as_array().into_iter().flatten());
            comments.map(|comment| comment["body"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let viewers: Vec<_> =
            history.viewers.iter().map(|(_, frames)| (frames.len(), bodies(frames))).collect();
        (history.events, history.posts.len(), viewers)
    };
    for seed in 1..20 {
        assert_eq!(seen(seed), seen(seed), "seed {seed}");
    }
}
