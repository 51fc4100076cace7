//! Whether new viewers should come to this pod.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;
use serde::Serialize;

/// A reason for not being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The pod does not listen yet.
    Starting,
    /// The pod goes away.
    Draining,
}

/// Whether the pod takes new viewers; a pod with any reason against it does not. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Guards the reasons; held for a look or a change.
    reasons: Arc<Mutex<BTreeSet<Reason>>>,
}

impl Default for Gate {
    /// A gate that is closed because the pod starts.
    fn default() -> Self {
        Self { reasons: Arc::new(Mutex::new(BTreeSet::from([Reason::Starting]))) }
    }
}

impl Gate {
    /// Adds a reason against.
    pub fn close(&self, reason: Reason) {
        self.reasons.lock().insert(reason);
    }

    /// Takes a reason back.
    pub fn open(&self, reason: Reason) {
        self.reasons.lock().remove(&reason);
    }

    /// The reasons against; none if the pod is ready.
    #[must_use]
    pub fn reasons(&self) -> Vec<Reason> {
        self.reasons.lock().iter().copied().collect()
    }
}
