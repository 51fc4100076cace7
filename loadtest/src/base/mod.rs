//! The machine and the moment: clocks, `/proc`, random numbers.

pub mod clock;
pub mod proc;
pub mod rng;
