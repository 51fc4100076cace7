//! A viewer's request to watch.

use crate::{
    domain::{EntryId, Position, StreamId},
    identity::{SessionSecret, VerifiedToken},
    limits::RateKeys,
};

/// Where a viewer wants to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It comes for the first time.
    Nothing,
    /// Right after this.
    Place(Position),
    /// Somewhere that no server ever told it.
    Unknown,
}

/// Who watches what, from where on.
#[derive(Debug)]
pub struct Request {
    /// The stream.
    pub stream: StreamId,
    /// Who watches; another token may take its place while the socket lives.
    pub verified: VerifiedToken,
    /// With whom else its frames and posts are counted.
    pub keys: RateKeys,
    /// This socket's own name; a guest's sockets have one name.
    pub session: EntryId,
    /// The secret by which a guest is the same on its next socket; `None` for other viewers.
    pub secret: Option<SessionSecret>,
    /// Where it goes on.
    pub after: After,
}
