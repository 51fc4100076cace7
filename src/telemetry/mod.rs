//! What the pod tells about itself: logs, and the measures behind its service levels.
//!
//! Only this closet knows OpenTelemetry. The other rooms tell [`Sli`] what happened, one method an event.

mod instruments;
mod lately;
mod logs;
mod meters;
mod prometheus;
mod sli;
mod tally;

pub use lately::Quantiles;
pub use logs::start_logs;
pub use prometheus::PROMETHEUS_TEXT;
pub use sli::{
    Counts, Figures, Identity, JoinSource, PostOutcome, SLO_DELIVER, SLO_JOIN, Seating, ShardFigures, Sli,
};
