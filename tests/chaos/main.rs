//! `make chaos`: ten minutes of faults on three pods and three shards, by a seed. `CHAOS_MINUTES` and `CHAOS_SEED` say
//! otherwise; a seed that fails is printed and fails again.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what fails here fails a test, and says so"
)]

use std::{env, time::Duration};

use testkit::chaos;

/// The "Done when": every fault is healed within this time.
const HEALS_WITHIN: Duration = Duration::from_secs(10);

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {value:?}")))
}

/// All kinds, or those whose names hold what `CHAOS_KINDS` says, for whoever looks for a cause.
fn kinds() -> Vec<chaos::Kind> {
    let wanted = env::var("CHAOS_KINDS").unwrap_or_default();
    chaos::Kind::ALL
        .iter()
        .copied()
        .filter(|kind| wanted.split('|').any(|part| kind.name().contains(part)))
        .collect()
}

/// G1 to G10 under everything that there is.
#[tokio::test(flavor = "multi_thread")]
async fn chaos_breaks_no_promise() {
    let plan = chaos::Plan {
        seed: number("CHAOS_SEED").unwrap_or_else(rand::random),
        time: Duration::from_secs(60 * number("CHAOS_MINUTES").unwrap_or(10)),
        viewers: 2_000,
        streams: 100,
        posts_per_second: 200,
        kinds: kinds(),
    };
    println!("CHAOS_SEED={}", plan.seed);
    chaos::run(&plan).await.assert_kept(HEALS_WITHIN);
}
