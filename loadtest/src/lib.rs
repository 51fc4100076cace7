//! An open-loop load tester for Fanfare that checks what every viewer sees.
//!
//! ```text
//!   schedule ──► outbox / rest ──► server ══► link ─► wire ─► scan ─► checker ─► ledger (one a stream)
//!   (fixed before the run)                    └───────── viewer ─────────┘         │
//!                                                                       tally ◄────┘──► report ─► table
//! ```
//!
//! The rooms, from the ground up; a room uses only those before it:
//! * `wire` RFC 6455 without sockets · `mark` what a body starts with · `scan` JSON without a tree ·
//!   `clock`, `rng`, `proc` (what `/proc` tells) · `cli` flags · `plan` flags that make sense
//! * `schedule` when each post is due · `tally` counts and histograms · `ledger` what is known of a stream ·
//!   `checker` one viewer's account
//! * `context` what the sockets share · `dial`, `link`, `http` connections · `outbox` a poster's part
//! * `listener` takes in what is read · `viewer` one socket's life · `stuck` viewers that never read ·
//!   `rest` posts through REST
//! * `report` figures and verdict · `run` from the first connection to the report
//! * `sink`, `limit` the kernel's own limit · `table`, `print` for people
//! * `local` a run over pods and shards that the tester starts itself · `ab` two kinds of
//!   pods compared · `capacity` how much a pod carries
//!
//! Nothing of the server's code is used: two readings of the protocol test each other.

pub mod ab;
pub mod capacity;
mod checker;
pub mod cli;
mod clock;
mod context;
mod crew;
mod dial;
pub mod events;
mod http;
mod ledger;
pub mod limit;
mod link;
mod listener;
pub mod local;
mod mark;
pub mod meta;
mod outbox;
mod plan;
mod preflight;
pub mod print;
pub mod proc;
pub mod report;
mod rest;
mod rng;
pub mod run;
mod sampler;
mod scan;
pub mod scenario;
mod schedule;
mod seats;
pub mod sink;
pub mod slo;
mod stuck;
pub mod table;
mod tally;
mod team;
mod turns;
mod viewer;
mod wire;
pub mod worker;

pub use plan::Plan;
pub use wire::accept_key;
