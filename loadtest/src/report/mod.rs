//! What a run found: the figures, and the verdict over them.

mod findings;
pub mod html;
pub mod meta;
pub mod print;
pub mod progress;
pub mod table;

use serde::Serialize;

pub use crate::{
    base::proc::Usage,
    check::tally::{Counts, Quantiles, Reasons},
};
use crate::{check::slo::Judged, drive::events::Events, report::meta::Meta};
pub(crate) use findings::{Account, Findings, Readings};

/// The shape of the run.
#[derive(Debug, Clone, Serialize)]
pub struct Shape {
    /// Where the servers are.
    pub targets: Vec<String>,
    /// In the names of the run's streams.
    pub run: String,
    /// Listening viewers.
    pub viewers: u32,
    /// Viewers that post as well.
    pub posters: u32,
    /// Viewers that drop and resume.
    pub resumers: u32,
    /// Streams, and how many of them are watched.
    pub streams: [u32; 2],
    /// Comments a second in each stream.
    pub rate: f64,
    /// Gifts a second in each stream.
    pub gifts_per_second: f64,
    /// Length of the posting in seconds.
    pub seconds: f64,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Whether comments were posted through REST.
    pub rest: bool,
}

/// What became of the posts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Posts {
    /// Due by the schedule.
    pub offered: u64,
    /// Acked by the server.
    pub acked: u64,
    /// Answered with an error.
    pub refused: u64,
    /// Without any answer at the end, or never sent because there was no connection.
    pub unanswered: u64,
}

/// What should have reached the viewers, and what did not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Deliveries {
    /// Entries that the viewers should have seen, summed over them.
    pub expected: u64,
    /// Entries that they saw, each once.
    pub delivered: u64,
    /// Missing without a word.
    pub lost: u64,
    /// Viewers that lost something, and the most that one of them lost.
    pub losers: u64,
    /// See `losers`.
    pub most_lost: u64,
    /// Missing, and announced by `skipped` or `gap`.
    pub signalled: u64,
    /// Gifts that were left out by `skipped`.
    pub gifts_skipped: u64,
    /// Acked posts that reached nobody.
    pub acked_unseen: u64,
    /// Viewers that were gone before the end.
    pub left: u64,
    /// Sockets that did not end in time.
    pub unfinished: u64,
}

/// What became of the viewers that never read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StuckViewers {
    /// Seen being cut by the server.
    pub cut: u64,
    /// Cut at an unknown time.
    pub cut_unnoticed: u64,
    /// Still connected at the end.
    pub alive: u64,
    /// Shortest and longest time from the handshake to the cut, in milliseconds.
    pub after_ms: Option<[u64; 2]>,
    /// How the cuts were noticed.
    pub signs: Reasons,
}

/// CPU and memory of the servers, when their pids were given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ServerCost {
    /// Before the first viewer.
    pub before: Usage,
    /// With all viewers, before the first post.
    pub idle: Usage,
    /// After the last delivery.
    pub end: Usage,
    /// CPU of one join in microseconds.
    pub cpu_us_per_join: f64,
    /// CPU of one delivery in microseconds, all work of the posting included.
    pub cpu_us_per_delivery: f64,
    /// Share of one core while posting.
    pub cores: f64,
    /// Memory of an idle viewer in bytes: RSS with all viewers, less that before them.
    pub rss_bytes_per_viewer: f64,
}

/// CPU of the tester while posting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TesterCost {
    /// In all, in microseconds.
    pub cpu_us: u64,
    /// For each delivery, in microseconds.
    pub cpu_us_per_delivery: f64,
    /// Share of one core.
    pub cores: f64,
}

/// Distributions of times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Latencies {
    /// From a post's scheduled time to each live delivery.
    pub delivery: Quantiles,
    /// From a post's scheduled time to its ack.
    pub ack: Quantiles,
    /// From the start of a connection to `hello`.
    pub join: Quantiles,
    /// From a post's scheduled time to its writing: the tester's own lateness.
    pub lateness: Quantiles,
}

/// All that a run found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether every promise held.
    pub ok: bool,
    /// What did not, and how often.
    pub violations: Reasons,
    /// What did not but was to be tolerated.
    pub tolerated: Reasons,
    /// The shape of the run.
    pub shape: Shape,
    /// What became of the posts.
    pub posts: Posts,
    /// What became of the deliveries.
    pub deliveries: Deliveries,
    /// Deliveries a second while posting.
    pub deliveries_per_second: f64,
    /// Plain numbers over all sockets.
    pub counts: Counts,
    /// Distributions of times.
    pub latencies: Latencies,
    /// Why joins failed.
    pub join_failures: Reasons,
    /// Why connections ended that the tester did not end.
    pub drops: Reasons,
    /// Why viewers could not resume.
    pub resume_failures: Reasons,
    /// Why posts were refused.
    pub refusals: Reasons,
    /// Error frames that answer no post.
    pub errors: Reasons,
    /// The viewers that never read.
    pub stuck: StuckViewers,
    /// The servers' cost.
    pub server: Option<ServerCost>,
    /// The tester's own cost.
    pub tester: TesterCost,
    /// When, where and with what.
    pub meta: Meta,
    /// The objectives, one by one.
    pub slo: Vec<Judged>,
    /// What happened during the posting.
    pub events: Events,
    /// Processes of the tester.
    pub processes: u16,
    /// Viewers that read slowly: their lateness, skips and closes are no failures, their losses are.
    pub slow: Option<SlowViewers>,
    /// The Redis processes' cost, when their pids were given.
    pub redis: Option<RedisCost>,
    /// Distributions as curves.
    pub curves: Curves,
    /// The run over time.
    pub series: Vec<Sample>,
    /// The names of the processes in the samples, in their order.
    pub watched_processes: Vec<String>,
}

/// What became of the viewers that read slowly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SlowViewers {
    /// How many joined.
    pub viewers: u64,
    /// Entries that they should have seen.
    pub expected: u64,
    /// Entries that they saw.
    pub delivered: u64,
    /// Entries that were announced as left out.
    pub signalled: u64,
    /// Missing without a word.
    pub lost: u64,
    /// Gifts that were left out by `skipped`.
    pub gifts_skipped: u64,
    /// Entries that came twice.
    pub duplicates: u64,
    /// Connections that were resumed.
    pub resumed: u64,
    /// Why their connections ended.
    pub drops: Reasons,
}

/// CPU and memory of the Redis processes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RedisCost {
    /// CPU for each acked post, in microseconds.
    pub cpu_us_per_post: f64,
    /// Share of one core while posting.
    pub cores: f64,
    /// Resident memory at the end in bytes.
    pub end_bytes: u64,
}

/// Distributions as points: percentile, microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Curves {
    /// From a post's scheduled time to each live delivery.
    pub delivery: Vec<[f64; 2]>,
    /// From a post's scheduled time to its ack.
    pub ack: Vec<[f64; 2]>,
    /// From the start of a connection to `hello`.
    pub join: Vec<[f64; 2]>,
}

/// The run at one moment; the rates are of the time since the moment before.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds since the posting began; negative before.
    pub at_s: f64,
    /// Viewers connected.
    pub open: u64,
    /// Deliveries a second that the posts due ask for: posts due in a stream times those who watch it.
    pub offered: f64,
    /// Deliveries a second.
    pub delivered: f64,
    /// Joins a second, resumed connections included.
    pub joins: f64,
    /// Connections lost a second.
    pub drops: f64,
    /// 99 of 100 deliveries of this time were at most this late, in milliseconds.
    pub late_p99_ms: f64,
    /// CPU of each watched process, as a share of a core.
    pub cores: Vec<f64>,
    /// Resident memory of each, in MiB.
    pub rss_mib: Vec<f64>,
}
