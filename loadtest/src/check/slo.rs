//! The objectives of a run, and whether they were met.

use clap::Args;
use serde::{Deserialize, Serialize};

/// The objectives; the exit code says whether they were met.
#[derive(Debug, Clone, Args)]
pub struct SloArgs {
    /// A delivery is in time within so many milliseconds of the post's scheduled time
    #[arg(long, default_value_t = 200, value_name = "MS")]
    pub slo_deliver_ms: u64,
    /// The share of deliveries that must be in time
    #[arg(long, default_value_t = 0.99, value_name = "SHARE")]
    pub slo_deliver_share: f64,
    /// A join is in time within so many milliseconds
    #[arg(long, default_value_t = 500, value_name = "MS")]
    pub slo_join_ms: u64,
    /// The share of joins that must be in time
    #[arg(long, default_value_t = 0.99, value_name = "SHARE")]
    pub slo_join_share: f64,
    /// So many lost deliveries are let pass
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub slo_lost: u64,
    /// So many duplicates are let pass
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub slo_duplicates: u64,
}

/// What counts as good enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Slo {
    /// Of deliveries, from the post's scheduled time.
    pub deliver: Objective,
    /// Of joins, from the start of the connection, or from the time at which it was due.
    pub join: Objective,
    /// Lost deliveries that are let pass.
    pub lost: u64,
    /// Duplicates that are let pass.
    pub duplicates: u64,
}

/// A share of something must be in time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// In time is within so many milliseconds.
    pub ms: u64,
    /// The share that must be, 0 to 1.
    pub share: f64,
}

impl Slo {
    pub(crate) fn of(args: &SloArgs) -> Self {
        Self {
            deliver: Objective { ms: args.slo_deliver_ms, share: args.slo_deliver_share },
            join: Objective { ms: args.slo_join_ms, share: args.slo_join_share },
            lost: args.slo_lost,
            duplicates: args.slo_duplicates,
        }
    }
}

/// One objective against what was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// What it is about.
    pub what: String,
    /// What is wanted, in words.
    pub target: String,
    /// What was measured, in words.
    pub measured: String,
    /// The measured share in time, or the count.
    pub value: f64,
    /// Whether it was met; `None` if nothing was measured that could tell.
    pub met: Option<bool>,
}

impl Judged {
    /// The verdict in words.
    pub(crate) const fn verdict(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured",
        }
    }
}
