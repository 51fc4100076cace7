//! The connections of a listener that are no viewers.

use crate::tasks::{Carrier, Tasks};

/// The connections of a listener that are no viewers. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Crowd {
    tasks: Tasks,
    /// From this number on, each answer is the last one of its connection.
    many: usize,
}

impl Crowd {
    pub(super) const fn new(tasks: Tasks, many: usize) -> Self {
        Self { tasks, many }
    }

    /// Returns whether there are so many connections that none should be kept without a request.
    pub(super) fn is_large(&self) -> bool {
        self.tasks.requests() >= self.many
    }

    /// Takes a connection out of the crowd for as long as it carries viewers.
    pub(super) fn carrier(&self) -> Carrier {
        self.tasks.carrier()
    }
}
