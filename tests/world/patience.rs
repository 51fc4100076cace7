//! Waiting, with a deadline; also for the tests inside the crate that need real servers.

use std::time::{Duration, Instant};

/// Asks again and again until there is an answer; the test fails when that takes longer than the deadline.
pub(crate) async fn eventually<T>(
    what: &str,
    within: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
