//! Conditions of a shard's server that weaken or break the promises.

use serde::Serialize;

/// A condition of a shard's server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The server is in cluster mode: a stream's function cannot reach all of its keys.
    Cluster,
    /// The server is a replica of another one: it takes no posts, or throws them away.
    Replica,
    /// The server evicts keys when its memory is full, and with them histories and the ids of posts.
    Evicts,
    /// The server refuses every function: it lacks them and does not let the pod load them, or denies the pod's user the
    /// call.
    RefusesFunctions,
    /// The server has no append-only file: a crash loses what was acknowledged.
    NoAof,
    /// Nine tenths of `maxmemory` are used: posts are refused, or keys evicted, when it is full.
    MemoryNearlyFull,
}

impl Condition {
    /// Every condition, in the order of its bit in [`Conditions`].
    pub(in crate::shards) const ALL: [Self; 6] = [
        Self::Cluster,
        Self::Replica,
        Self::Evicts,
        Self::RefusesFunctions,
        Self::NoAof,
        Self::MemoryNearlyFull,
    ];

    /// Its name in `/status` and in the metrics.
    pub(in crate::shards) const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Replica => "replica",
            Self::Evicts => "evicts",
            Self::RefusesFunctions => "refuses_functions",
            Self::NoAof => "no_aof",
            Self::MemoryNearlyFull => "memory_nearly_full",
        }
    }

    /// What is wrong and what is expected, in words.
    pub(in crate::shards) const fn text(self) -> &'static str {
        match self {
            Self::Cluster => "the server is in cluster mode; a shard is a single primary",
            Self::Replica => "the server is a replica; a shard's address leads to a primary",
            Self::Evicts => "the server may evict keys; maxmemory-policy has to be noeviction",
            Self::RefusesFunctions => {
                "the server refuses every function; its user needs FCALL, and FUNCTION where nothing else loads the library"
            }
            Self::NoAof => "the server has no append-only file; a crash loses acknowledged posts",
            Self::MemoryNearlyFull => "90 % of maxmemory are used; posts are refused when it is full",
        }
    }

    /// Returns whether nothing that is promised can be kept.
    pub(in crate::shards) const fn breaks(self) -> bool {
        matches!(self, Self::Cluster | Self::Replica | Self::RefusesFunctions)
    }
}

/// A set of conditions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::shards) struct Conditions(pub(in crate::shards) u8);

impl Conditions {
    /// The set with or without a condition.
    pub(in crate::shards) const fn with(self, condition: Condition, is: bool) -> Self {
        let bit = 1 << condition as u8;
        Self(if is { self.0 | bit } else { self.0 & !bit })
    }

    /// Returns whether a condition is in the set.
    pub(in crate::shards) const fn has(self, condition: Condition) -> bool {
        self.0 & (1 << condition as u8) != 0
    }

    /// The conditions in the set.
    pub(in crate::shards) fn iter(self) -> impl Iterator<Item = Condition> {
        Condition::ALL.into_iter().filter(move |condition| self.has(*condition))
    }

    /// The first condition with which nothing that is promised can be kept.
    pub(in crate::shards) fn breaking(self) -> Option<Condition> {
        self.iter().find(|condition| condition.breaks())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        let set = Conditions::default().with(Condition::NoAof, true).with(Condition::Evicts, true);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Condition::Evicts, Condition::NoAof]);
        assert_eq!(set.breaking(), None);
        let set = set.with(Condition::Evicts, false).with(Condition::Replica, true);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Condition::Replica, Condition::NoAof]);
        assert_eq!(set.breaking(), Some(Condition::Replica));
        for condition in Condition::ALL {
            assert_eq!(serde_json::to_value(condition).unwrap(), condition.name());
        }
    }
}
