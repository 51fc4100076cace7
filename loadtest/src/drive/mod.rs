//! What a run does: its flags, its plan, and the sockets that carry it out.

pub mod args;
pub mod context;
pub mod events;
pub mod listener;
pub mod non_reading;
pub mod outbox;
pub mod plan;
pub mod rest;
pub mod scenario;
pub mod schedule;
pub mod seats;
pub mod turns;
pub mod viewer;
pub mod visit;
