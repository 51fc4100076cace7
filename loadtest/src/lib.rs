//! An open-loop load tester for Fanfare that checks what every viewer sees.
//!
//! ```text
//!   schedule ──► outbox / rest ──► server ══► link ─► wire ─► scan ─► checker ─► ledger (one a stream)
//!   (fixed before the run)                    └───────── viewer ─────────┘         │
//!                                                                       tally ◄────┘
//!   run ◄═ orders and replies ═► workers (this process, or several: all of the above) ──► report ─► table, page, JSON
//! ```
//!
//! The rooms, from the ground up; a room uses only those before it:
//! * [`base`] the machine: clock, `/proc`, random numbers
//! * [`protocol`] `wire` RFC 6455 without sockets · `mark` the mark of a body · `scan` JSON without a tree · `tls` the
//!   authorities to trust · `stream` a connection, plain or encrypted · `dial`, `link`, `http` its uses
//! * [`check`] `tally` counts and histograms · `ledger` what is known of a stream · `recent` its last frames as bytes ·
//!   `checker` one viewer's account · `slo` objectives
//! * [`drive`] `args` flags · `events`, `scenario` what happens during the posting · `plan` all of that, if it makes sense ·
//!   `schedule`, `seats`, `turns` who does what when · `context` what the sockets of a process share · `viewer`,
//!   `listener`, `outbox`, `stuck`, `rest` the sockets
//! * [`report`] figures and verdict; `table`, `html`, `print` for people
//! * [`run`] the conductor, its coordinator, and the workers
//! * [`commands`] `cli` the command line · `local` a run over pods and shards that the tester starts itself · `ab` two kinds of
//!   pods compared · `capacity` how much a pod carries · `limit`, `sink` the kernel's own limit
//!
//! Nothing of the server's code is used: two readings of the protocol test each other.

pub mod base;
pub mod check;
pub mod commands;
pub mod drive;
pub mod protocol;
pub mod report;
pub mod run;

pub use drive::plan::Plan;
pub use protocol::wire::accept_key;
