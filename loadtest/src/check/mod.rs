//! What every viewer must see, and what counts as good enough.

pub mod checker;
pub mod ledger;
pub mod recent;
pub mod slo;
pub mod tally;
