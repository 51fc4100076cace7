//! What a viewer may show.

use std::{sync::Arc, time::Duration};

use crate::domain::{Viewer, now_ms};

/// How far an issuer's clock may be ahead of this one's. Nothing is added to a token's end: a client refreshes in time.
pub(super) const LEEWAY_MS: u64 = 30_000;
/// How far an accepted token's `iat` may be ahead of the time of its issue by the clock of a pod: the leeway, and a
/// second by which the clocks of pods may differ.
pub(super) const ISSUER_AHEAD_MS: u64 = LEEWAY_MS + 1_000;

/// Who somebody is, and until when that counts. Cloning shares it.
#[derive(Debug, Clone)]
pub struct VerifiedToken(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    viewer: Viewer,
    /// By the issuer's clock.
    issued_at_ms: u64,
    /// None: it does not end by itself.
    ends_at_ms: Option<u64>,
}

impl VerifiedToken {
    /// Of a viewer of a pod that knows no keys.
    #[must_use]
    pub fn open(viewer: Viewer) -> Self {
        Self(Arc::new(Inner { viewer, issued_at_ms: now_ms(), ends_at_ms: None }))
    }

    /// Of a token; times are in milliseconds since the Unix epoch.
    pub(super) fn of_token(viewer: Viewer, issued_at_ms: u64, ends_at_ms: u64) -> Self {
        Self(Arc::new(Inner { viewer, issued_at_ms, ends_at_ms: Some(ends_at_ms) }))
    }

    /// Who it is, and what they may do.
    #[must_use]
    pub fn viewer(&self) -> &Viewer {
        &self.0.viewer
    }

    /// How long it still counts by this machine's clock; none: until it is revoked.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let ends_at_ms = self.0.ends_at_ms?;
        Some(Duration::from_millis(ends_at_ms.saturating_sub(now_ms())))
    }

    /// The token's whole life, from its issue to its end; zero for one that does not end by itself.
    #[must_use]
    pub fn life(&self) -> Duration {
        let ends_at_ms = self.0.ends_at_ms.unwrap_or(0);
        Duration::from_millis(ends_at_ms.saturating_sub(self.0.issued_at_ms))
    }

    /// Returns whether the other one has the same times of issue and of end, as a token that is shown again has.
    #[must_use]
    pub fn has_times_of(&self, other: &Self) -> bool {
        (self.0.issued_at_ms, self.0.ends_at_ms) == (other.0.issued_at_ms, other.0.ends_at_ms)
    }

    /// Returns whether it may have been issued at this time or before; by this pod's clock, in milliseconds since the Unix
    /// epoch.
    pub(super) fn may_be_from_before(&self, at_ms: u64) -> bool {
        let ahead_ms = if self.0.ends_at_ms.is_some() { ISSUER_AHEAD_MS } else { 0 };
        self.0.issued_at_ms <= at_ms.saturating_add(ahead_ms)
    }
}
