//! One shard of the list of shards.

use std::fmt;

/// One shard of the list.
#[derive(Clone, PartialEq, Eq)]
pub struct ShardAddress {
    /// Its name: what the ring knows it by, whatever its address.
    pub name: String,
    /// Its share of the streams, relative to the others.
    pub weight: u16,
    /// Where its Redis is. It may hold a password and is never shown.
    pub(in crate::shards) url: String,
}

impl fmt::Debug for ShardAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (weight {})", self.name, self.weight)
    }
}
