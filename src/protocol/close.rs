//! Why the server closes a viewer's socket: one row a reason, with its code and its advice.

/// What a client should do after a close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Connect again, after a random time within `hello`'s `reconnect`, with `after`.
    Reconnect,
    /// Get a new token first, then connect again with `after`.
    Renew,
    /// Do not connect again without a change: the same would happen.
    Stop,
}

/// A reason for closing a viewer's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Close {
    /// The viewer closed first.
    Normal,
    /// The pod shuts down, or gives viewers to other pods. Not 1012: several libraries take that code for invalid.
    Restart,
    /// The pod takes no further viewers for now: the answer to a handshake that it refuses on the WebSocket. Not 1013, for
    /// the same reason.
    NotAccepting,
    /// The viewer broke the WebSocket protocol (RFC 6455 section 7.4.1).
    ProtocolError,
    /// The viewer sent a binary message.
    BinaryMessage,
    /// The viewer sent text that is not UTF-8.
    InvalidUtf8,
    /// The viewer sent more frames than it may.
    Flood,
    /// The viewer sent a message over the limit.
    MessageTooBig,
    /// The viewer's token ended, or was revoked.
    TokenEnded,
    /// The viewer takes its frames too slowly.
    TooSlow,
    /// The viewer did not answer a ping.
    NoPong,
}

impl Close {
    /// Every reason, in the order of the codes.
    pub const ALL: [Self; 11] = [
        Self::Normal,
        Self::Restart,
        Self::NotAccepting,
        Self::ProtocolError,
        Self::BinaryMessage,
        Self::InvalidUtf8,
        Self::Flood,
        Self::MessageTooBig,
        Self::TokenEnded,
        Self::TooSlow,
        Self::NoPong,
    ];

    const fn row(self) -> (u16, &'static str, Advice) {
        match self {
            Self::Normal => (1000, "bye", Advice::Stop),
            Self::Restart => (1001, "restart", Advice::Reconnect),
            Self::NotAccepting => (1001, "not accepting", Advice::Reconnect),
            Self::ProtocolError => (1002, "protocol error", Advice::Stop),
            Self::BinaryMessage => (1003, "text messages only", Advice::Stop),
            Self::InvalidUtf8 => (1007, "not UTF-8", Advice::Stop),
            Self::Flood => (1008, "too many frames", Advice::Stop),
            Self::MessageTooBig => (1009, "message over 16 KiB", Advice::Stop),
            Self::TokenEnded => (3000, "token expired or revoked", Advice::Renew),
            Self::TooSlow => (3008, "too slow", Advice::Reconnect),
            Self::NoPong => (3012, "no pong", Advice::Reconnect),
        }
    }

    /// The close code on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.row().0
    }

    /// The close reason on the wire and in the log.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        self.row().1
    }

    /// What the client should do next.
    #[must_use]
    pub const fn advice(self) -> Advice {
        self.row().2
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn rows_are_distinct_ascending_and_advise_as_documented() {
        let rows = Close::ALL.map(|close| (close.code(), close.reason()));
        assert!(rows.is_sorted_by_key(|(code, _)| *code));
        assert_eq!(rows.into_iter().collect::<BTreeSet<_>>().len(), rows.len());
        // A client knows its advice by the code alone.
        let advice: BTreeMap<u16, Advice> =
            Close::ALL.iter().map(|close| (close.code(), close.advice())).collect();
        assert!(Close::ALL.iter().all(|close| advice[&close.code()] == close.advice()));
        let again: BTreeSet<u16> = Close::ALL
            .iter()
            .filter(|close| close.advice() == Advice::Reconnect)
            .map(|close| close.code())
            .collect();
        assert_eq!(again, BTreeSet::from([1001, 3008, 3012]));
        assert_eq!((Close::TokenEnded.code(), Close::TokenEnded.advice()), (3000, Advice::Renew));
    }

    /// Symptom: after a deploy, clients with Qt, libwebsockets or faye-websocket saw 1002 and stopped for ever.
    /// Cause: the drain closed with 1012, and those libraries accept only the codes of RFC 6455 section 7.4.1 below 3000.
    #[test]
    fn every_close_code_is_accepted_by_libraries_that_know_rfc_6455_alone() {
        for close in Close::ALL {
            let code = close.code();
            let is_defined = matches!(code, 1000..=1003 | 1007..=1011);
            assert!(is_defined || (3000..=4999).contains(&code), "{close:?} closes with {code}");
        }
    }
}
