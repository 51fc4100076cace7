//! Waiting, with a deadline; also for the tests inside the crate that need real servers.

use std::time::{Duration, Instant};

/// How long a fault has to show itself in each answer, before it is believed.
const TRIES: Duration = Duration::from_secs(60);

/// Asks until an answer takes less than the bound, and returns that one. A busy machine makes some answers late; a fault
/// makes all of them late, and fails the test.
pub async fn in_time<T>(what: &str, bound: Duration, mut ask: impl AsyncFnMut() -> T) -> T {
    eventually(&format!("{what}, within {bound:?} once"), TRIES, async || {
        let asked = Instant::now();
        let answer = ask().await;
        (asked.elapsed() < bound).then_some(answer)
    })
    .await
}

/// Asks again and again until there is an answer; the test fails when that takes longer than the deadline.
pub async fn eventually<T>(what: &str, within: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
