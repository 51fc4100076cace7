//! The commands of the program.

pub mod ab;
pub mod capacity;
pub mod cli;
pub mod limit;
pub mod limit_table;
pub mod local;
pub mod sink;
