//! The checker, and drills on real pods that end in it.

mod drill;
mod footprint;
mod ledger;
mod measure;
mod post;
mod rules;
#[cfg(test)]
mod tests;
mod watch;

pub use drill::Drill;
pub use footprint::{Footprint, Rest};
pub use ledger::{Breach, Ledger, Rule};
pub use post::{Outcome, Posted};
pub use watch::{Place, Told, Watch, Words};
