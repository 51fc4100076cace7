//! The checker, and drills on real pods that end in it.

mod drill;
#[path = "ledger.rs"]
mod ledger;
mod measure;

pub(crate) use drill::Drill;
pub(crate) use ledger::*;
