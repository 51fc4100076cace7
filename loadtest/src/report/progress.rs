//! How a run is going.

/// What a run is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stage {
    /// Viewers join.
    #[default]
    Joining,
    /// Posts are made.
    Posting,
    /// All posts are made; what is missing is waited for.
    Draining,
}

/// How a run is going.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// How far it is with that, 0 to 1.
    pub done: f64,
    /// Seconds since the run began.
    pub seconds: f64,
    /// Sockets that joined.
    pub joined: u64,
    /// Posts due so far.
    pub offered: u64,
    /// Posts acked so far.
    pub acked: u64,
    /// Deliveries so far.
    pub delivered: u64,
    /// 99 of 100 live deliveries were at most this late, in microseconds.
    pub p99_us: u64,
}
