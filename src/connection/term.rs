//! How long a viewer's pass counts: a word before its end, and the end.

use std::{pin::Pin, time::Duration};

use tokio::time::sleep;

use crate::identity::{Identity, Pass};

/// How long before its end the viewer is told.
const WARN_BEFORE: Duration = Duration::from_secs(60);

/// What comes next of a pass's term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It ends after so many milliseconds.
    Expiring(u64),
    /// It has ended, or was revoked.
    Over,
}

/// Waits for what comes next. `told` says whether the viewer knows of the end already.
///
/// A pass without an end takes no room for a timer.
pub(super) fn next_turn(
    identity: &Identity,
    pass: Pass,
    told: bool,
) -> Pin<Box<dyn Future<Output = Turn> + Send + '_>> {
    let revoked = async |pass: &Pass| {
        identity.revoked(pass).await;
        Turn::Over
    };
    if pass.time_left().is_none() {
        return Box::pin(async move { revoked(&pass).await });
    }
    Box::pin(async move {
        tokio::select! {
            turn = by_time(&pass, told) => turn,
            turn = revoked(&pass) => turn,
        }
    })
}

async fn by_time(pass: &Pass, told: bool) -> Turn {
    let Some(left) = pass.time_left() else { return std::future::pending().await };
    if !told {
        sleep(left.saturating_sub(WARN_BEFORE)).await;
        let left = pass.time_left().unwrap_or_default();
        return Turn::Expiring(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
    }
    // The wall clock may have been put back meanwhile; the end is by that clock.
    while let Some(left) = pass.time_left().filter(|left| !left.is_zero()) {
        sleep(left).await;
    }
    Turn::Over
}
