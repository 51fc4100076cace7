//! Whether a pod takes viewers, when it asks some to move, and how it goes: real pods under real load.

mod admission;
mod crowd;
mod fleet;
mod heat;
mod leaving;
mod load;
mod refusals;

pub(crate) use crowd::Crowd;
pub(crate) use heat::Heater;
