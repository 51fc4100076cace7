//! Connections of HTTP: how long they are kept, how they end, and what they may hold.

mod closing;
mod heads;
mod keeping;
mod proxied;
mod room;
mod unread;

pub(crate) use room::flood;
