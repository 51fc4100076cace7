//! What a viewer may show.

use std::{sync::Arc, time::Duration};

use crate::domain::{Viewer, now_ms};

/// Who somebody is, and until when that counts. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Pass(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    viewer: Viewer,
    issued_at_ms: u64,
    /// None: it does not end by itself.
    ends_at_ms: Option<u64>,
}

impl Pass {
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

    /// Whether it was made at this time or before; in milliseconds since the Unix epoch.
    pub(super) fn is_from_before(&self, at_ms: u64) -> bool {
        self.0.issued_at_ms <= at_ms
    }
}
