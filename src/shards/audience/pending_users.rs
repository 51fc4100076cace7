//! Users who came to watch, until their shard is told.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::domain::StreamId;

/// The most users who wait to be counted, a shard; who comes beyond that is not counted among a stream's users. A shard
/// takes them every two seconds, so that only one that is away is ever behind.
const MOST: usize = 65_536;

/// The users who came to the streams of one shard. Cloning shares them.
#[derive(Clone, Default)]
pub(in crate::shards) struct PendingUsers(Arc<Mutex<Waiting>>);

/// Guarded as a whole; held for an insertion or a removal.
#[derive(Default)]
struct Waiting {
    of_stream: HashMap<StreamId, Vec<u64>>,
    users: usize,
}

impl PendingUsers {
    /// Takes note of users by their hashes, unless too many wait.
    pub(in crate::shards) fn note(&self, stream: &StreamId, users: &[u64]) {
        let waiting = &mut *self.0.lock();
        let room = MOST.saturating_sub(waiting.users).min(users.len());
        if room > 0 {
            waiting.users += room;
            waiting.of_stream.entry(stream.clone()).or_default().extend(&users[..room]);
        }
    }

    /// The streams that somebody came to.
    pub(in crate::shards) fn streams(&self) -> Vec<StreamId> {
        self.0.lock().of_stream.keys().cloned().collect()
    }

    /// Takes up to `most` users of a stream.
    pub(in crate::shards) fn take(&self, stream: &StreamId, most: usize) -> Vec<u64> {
        let waiting = &mut *self.0.lock();
        let Some(users) = waiting.of_stream.get_mut(stream) else { return Vec::new() };
        let taken = users.split_off(users.len().saturating_sub(most));
        waiting.users -= taken.len();
        if users.is_empty() {
            waiting.of_stream.remove(stream);
        }
        taken
    }

    /// Whether somebody came to the stream.
    pub(in crate::shards) fn has(&self, stream: &StreamId) -> bool {
        self.0.lock().of_stream.contains_key(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_wait_in_bounded_number_and_are_taken_in_parts() {
        let (pending_users, stream, other) =
            (PendingUsers::default(), "s".parse().unwrap(), "t".parse().unwrap());
        (0..2 * MOST as u64).for_each(|user| pending_users.note(&stream, &[user]));
        pending_users.note(&other, &[1, 2]);
        assert_eq!(pending_users.streams(), std::slice::from_ref(&stream), "no room for others");
        assert_eq!(pending_users.take(&stream, 1_000).len(), 1_000);
        pending_users.note(&other, &[1, 2]);
        assert_eq!(pending_users.take(&other, 1), [2]);
        assert!(pending_users.has(&other) && pending_users.has(&stream));
        assert_eq!(pending_users.take(&other, 9), [1]);
        assert_eq!(pending_users.take(&stream, usize::MAX).len(), MOST - 1_000);
        assert!(pending_users.streams().is_empty() && pending_users.take(&stream, 1).is_empty());
    }
}
