//! What a pod holds: sockets, subscriptions, descriptors, threads, memory.

/// Further descriptors that are no leak: a connection that a probe opened just now, and one on its way out.
const MORE_DESCRIPTORS: u64 = 4;
/// Further threads: the runtime's for blocking work come and go.
const MORE_THREADS: u64 = 3;
/// What the allocator keeps of work that is done.
const MORE_BYTES: u64 = 48 << 20;
/// What it keeps of a viewer that is gone: its task, its seat and what was under way to it.
const MORE_BYTES_A_VIEWER: u64 = 16 << 10;

/// What a pod holds at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Viewers.
    pub viewers: u64,
    /// Open streams.
    pub streams: u64,
    /// On all shards.
    pub subscriptions: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
}

/// A pod before anything, and after everything.
#[derive(Debug, Clone)]
pub struct Rest {
    /// The pod's name.
    pub pod: String,
    /// Before anything.
    pub before: Footprint,
    /// After everything.
    pub after: Footprint,
    /// The most viewers that it had meanwhile.
    pub most_viewers: u64,
}

impl Rest {
    /// What it holds that it should not.
    pub fn left_behind(&self) -> Vec<String> {
        let Self { before, after, most_viewers, .. } = self;
        let bytes = before.resident_bytes + MORE_BYTES + most_viewers * MORE_BYTES_A_VIEWER;
        let limits = [
            ("viewers", after.viewers, before.viewers),
            ("streams", after.streams, before.streams),
            ("subscriptions", after.subscriptions, before.subscriptions),
            ("descriptors", after.descriptors, before.descriptors + MORE_DESCRIPTORS),
            ("threads", after.threads, before.threads + MORE_THREADS),
            ("bytes of memory", after.resident_bytes, bytes),
        ];
        let over = limits.iter().filter(|(_, held, most)| held > most);
        over.map(|(what, held, most)| format!("{held} {what}, where {most} were expected")).collect()
    }
}
