//! An open-loop load tester for Fanfare that checks what every viewer sees.
//!
//! ```text
//!   schedule ──► outbox / rest ──► server ══► link ─► wire ─► scan ─► checker ─► ledger (one a stream)
//!   (fixed before the run)                    └───────── viewer ─────────┘         │
//!                                                                       tally ◄────┘
//!   run ◄═ orders and words ═► crew (this process, or several: all of the above) ──► report ─► table, page, JSON
//! ```
//!
//! The rooms, from the ground up; a room uses only those before it:
//! * `wire` RFC 6455 without sockets · `mark` what a body starts with · `scan` JSON without a tree ·
//!   `rng`, `proc` (what `/proc` tells), `clock`, `meta` (when, where, with what)
//! * `tls` the authorities to trust · `stream` a connection, plain or encrypted
//! * `events` what happens during the posting · `cli` flags · `scenario` files that become flags and events ·
//!   `slo` objectives · `plan` all of that, if it makes sense
//! * `schedule` when each post is due · `tally` counts and histograms · `ledger` what is known of a stream ·
//!   `recent` its last frames as bytes · `checker` one viewer's account
//! * `context` what the sockets of a process share · `seats` who sits where · `turns` what a viewer does when ·
//!   `dial`, `link`, `http` connections · `outbox` a poster's part
//! * `listener` takes in what is read · `viewer` one socket's life · `stuck` viewers that never read ·
//!   `rest` posts through REST
//! * `report` figures and verdict · `crew` one process's share of a run · `worker` a crew in a process of its own ·
//!   `team` all crews as one · `sampler` the run over time · `preflight` limits in the way · `run` the conductor
//! * `sink`, `limit` the kernel's own limit · `table`, `html`, `print` for people
//! * `local` a run over pods and shards that the tester starts itself · `ab` two kinds of pods compared ·
//!   `capacity` how much a pod carries
//!
//! Nothing of the server's code is used: two readings of the protocol test each other.

pub mod ab;
mod builds;
pub mod capacity;
mod checker;
pub mod cli;
mod clock;
mod context;
mod crew;
mod dial;
pub mod events;
pub mod html;
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
mod recent;
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
mod stream;
mod stuck;
pub mod table;
mod tally;
mod team;
mod tls;
mod turns;
mod viewer;
mod visit;
mod wire;
pub mod worker;

pub use plan::Plan;
pub use wire::accept_key;
