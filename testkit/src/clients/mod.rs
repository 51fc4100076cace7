//! The documented clients in processes of their own, and the behaviour that each of them has.

pub mod process;
pub mod scenarios;
pub mod tokens;
