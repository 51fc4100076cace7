//! Whether a pod takes viewers, when it asks some to move, and how it goes: real pods under real load.

mod admission;
mod fleet;
mod leaving;
mod load;
mod refusals;
