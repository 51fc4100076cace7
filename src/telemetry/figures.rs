//! Counts and figures at a moment.

/// The counts at a moment, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Live comments written to a viewer's socket.
    pub deliveries: u64,
    /// Comments left out because a viewer was too slow.
    pub skips: u64,
    /// Viewers' tasks that panicked.
    pub panics: u64,
}

/// Figures that other rooms keep, as they are when somebody asks.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Sockets that watch, or are about to.
    pub viewers: usize,
    /// Streams that are watched, or linger.
    pub streams: usize,
    /// Whether the pod takes new viewers.
    pub ready: bool,
    /// Whether the pod was told to end: what comes after is no fault of it.
    pub draining: bool,
    /// The share of the pod's CPU that it uses; 0 until it is measured.
    pub cpu: f64,
    /// Every shard.
    pub shards: Vec<ShardFigures>,
}

/// One shard as this pod sees it; counts are since the pod's start.
#[derive(Debug, Clone, Default)]
pub struct ShardFigures {
    /// The shard's name.
    pub name: String,
    /// Whether the pod hears it.
    pub up: bool,
    /// Streams whose messages come.
    pub subscriptions: u64,
    /// Subscriptions asked for.
    pub subscribes: u64,
    /// Ends of subscriptions asked for.
    pub unsubscribes: u64,
    /// Viewers who came back before the linger was over.
    pub linger_hits: u64,
    /// Messages that came on streams' channels.
    pub received: u64,
    /// Of these, those that found no viewer.
    pub unwatched: u64,
    /// Holes that were filled from history.
    pub filled: u64,
    /// Holes that could not be filled.
    pub gaps: u64,
    /// Histories that began anew.
    pub resets: u64,
    /// Times at which messages came faster than this pod could take them.
    pub overruns: u64,
    /// Connections of all clients to the shard, and how many it takes; none if it does not say.
    pub connections: Option<(u64, u64)>,
    /// The conditions that weaken or break the promises: the name of each, and whether it holds.
    pub conditions: Vec<(&'static str, bool)>,
}
