//! Fanfare: a horizontally sharded WebSocket server that fans live-stream comments out to viewers.
//!
//! ```text
//!              a comment goes up                                    and comes down everywhere
//!   viewer                                                                                   viewers
//!     │ text frame                                                                              ▲ same bytes
//!     ▼                                                                                         │
//! ┌────────────┐ Draft ┌────────┐ Comment ┌────────┐        ┌────────┐ SharedFrame ┌─────┐ drain ┌────────┐
//! │ connection │──────►│ domain │────────►│ shards │═══════►│ shards │────────────►│ hub │──────►│ socket │
//! └────────────┘       └────────┘ publish └────────┘ Pub/Sub└────────┘   deliver   └─────┘       └────────┘
//!     ▲  also: POST …/comments (http)                           ▲   Nudge: "look at this stream again"
//!                                                               └────────────── hub
//! ```
//!
//! One staircase; a room imports only rooms below it, and `tests/layers` holds it to that:
//!
//! | step | room | what it does |
//! |---|---|---|
//! | 8 | `main` | flags and environment → settings → [`app::App`] → exit code |
//! | 7 | [`app`], [`config`] | wiring, the phases of exit; the only room that knows all |
//! | 6 | [`http`] | routes, one file a resource, status codes, the demo page |
//! | 5 | [`connection`] | one viewer's socket from its 101 to its close |
//! | 4 | [`shards`] | a stream's order: publishing, interest, the chain of entries, history |
//! | 3 | [`hub`] | fan-out: streams, tapes, seats, lanes |
//! | 2 | [`protocol`] | client frames, server frames, the envelope between pods, close reasons |
//! | 2 | [`identity`] | who somebody is: tokens, keys, revocations |
//! | 2 | [`limits`] | how often somebody may do something |
//! | 1 | [`net`] | connections of any client: the accept loop, TLS, HTTP/1.1 and HTTP/2 |
//! | 1 | [`domain`] | ids, comments, rules, rights, posting |
//!
//! Closets that all may import and that import no room: [`telemetry`], [`readiness`], [`tasks`],
//! [`release`].
//!
//! Two seams keep the staircase from becoming a circle: [`domain::Publish`], which `posting` calls and `shards`
//! implements, and [`hub::Nudge`], by which the hub asks `shards` to look at a stream again.

#![forbid(unsafe_code)]

pub mod app;
pub mod config;
pub mod connection;
pub mod domain;
pub mod http;
pub mod hub;
pub mod identity;
pub mod limits;
pub mod net;
pub mod protocol;
pub mod readiness;
pub mod release;
pub mod shards;
pub mod tasks;
pub mod telemetry;
