//! What the pod tells about itself: logs, and the counts behind its service levels.

mod logs;
mod sli;

pub use logs::start_logs;
pub use sli::{Counts, Sli};
