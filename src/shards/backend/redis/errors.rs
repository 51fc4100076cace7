//! What an error means for the connection that it came on: one table.

use fred::error::{Error, ErrorKind};

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The connection is good; the same call may succeed later.
    Retry,
    /// This connection will not recover, or leads to the wrong server: make another, with the name resolved again.
    Reconnect,
    /// The server refuses writes and may have been demoted: the connection for posts is made anew, with the name
    /// resolved again. A connection that reads stays, since reading goes on.
    FindPrimary,
    /// The server lacks the functions, or has older ones.
    LoadFunctions,
    /// The server says no for a reason that only a person can change: its rules, or this pod's credentials or version.
    Fatal,
}

/// Beginnings of Redis's error replies, and what they call for.
///
/// Sources: the `shared.*err` table of Redis's `server.c`, `script.c`, `functions.c`, and our own functions.
const REPLIES: &[(&str, Remedy)] = &[
    ("OOM", Remedy::Retry),
    ("MISCONF", Remedy::Retry),
    ("BUSY", Remedy::Retry),
    ("TRYAGAIN", Remedy::Retry),
    // The library or the dump is on its way; the server closes nothing by itself.
    ("LOADING", Remedy::Reconnect),
    // A primary that became a replica, or whose replicas follow another one: the name may lead to the new primary.
    ("READONLY", Remedy::FindPrimary),
    ("NOREPLICAS", Remedy::FindPrimary),
    ("MASTERDOWN", Remedy::Reconnect),
    // The server was restarted with credentials, or ours were taken away.
    ("NOAUTH", Remedy::Reconnect),
    ("UNBLOCKED", Remedy::Reconnect),
    ("ERR Function not found", Remedy::LoadFunctions),
    ("ERR max number of clients", Remedy::Reconnect),
    ("ERR Protocol error", Remedy::Reconnect),
    ("WRONGPASS", Remedy::Fatal),
    ("NOPERM", Remedy::Fatal),
    ("WRONGTYPE", Remedy::Fatal),
    // A Redis Cluster is no shard of ours.
    ("MOVED", Remedy::Fatal),
    ("ASK", Remedy::Fatal),
    ("CROSSSLOT", Remedy::Fatal),
    ("CLUSTERDOWN", Remedy::Fatal),
    ("FFRING", Remedy::Fatal),
    ("FFSEQ", Remedy::Fatal),
    ("ERR", Remedy::Fatal),
];

/// What to do about an error of the client library.
pub(super) fn remedy(error: &Error) -> Remedy {
    let of_the_reply = REPLIES.iter().find(|(start, _)| error.details().starts_with(start));
    match (of_the_reply, error.kind()) {
        (Some((_, remedy)), _) => *remedy,
        // The command may be waiting still, and may yet run: the heartbeat decides about the connection.
        (None, ErrorKind::Timeout | ErrorKind::Backpressure) => Remedy::Retry,
        (
            None,
            ErrorKind::InvalidArgument | ErrorKind::InvalidCommand | ErrorKind::Config | ErrorKind::Url,
        ) => Remedy::Fatal,
        (None, _) => Remedy::Reconnect,
    }
}

/// Returns whether a connection with this error is of no further use.
pub(super) fn ends_connection(error: &Error) -> bool {
    matches!(remedy(error), Remedy::Reconnect | Remedy::FindPrimary)
}

/// Returns whether an answer to the first question on a connection, or its absence, means that the connection is of no use.
pub(super) fn is_unusable(error: &Error) -> bool {
    ends_connection(error) || *error.kind() == ErrorKind::Timeout
}

/// Returns whether the server refuses whatever may write, for a reason of its own.
pub(super) fn refuses_writes(error: &Error) -> bool {
    const REFUSALS: [&str; 4] = ["READONLY", "NOREPLICAS", "MISCONF", "OOM"];
    REFUSALS.iter().any(|start| error.details().starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R11: every error reply has one remedy.
    #[test]
    fn r11_each_reply_has_its_remedy() {
        let cases = [
            ("OOM command not allowed when used memory > 'maxmemory'.", Remedy::Retry),
            ("MISCONF Redis is configured to save RDB snapshots", Remedy::Retry),
            ("LOADING Redis is loading the dataset in memory", Remedy::Reconnect),
            ("READONLY You can't write against a read only replica.", Remedy::FindPrimary),
            ("READONLY Can not run script with write flag on readonly replica.", Remedy::FindPrimary),
            ("NOREPLICAS Not enough good replicas to write.", Remedy::FindPrimary),
            ("NOAUTH Authentication required.", Remedy::Reconnect),
            ("ERR Function not found", Remedy::LoadFunctions),
            ("ERR max number of clients reached", Remedy::Reconnect),
            ("WRONGPASS invalid username-password pair or user is disabled.", Remedy::Fatal),
            ("NOPERM this user has no permissions to run the 'fcall' command", Remedy::Fatal),
            ("MOVED 3999 127.0.0.1:6381", Remedy::Fatal),
            ("CLUSTERDOWN Hash slot not served", Remedy::Fatal),
            ("FFRING a newer list of shards is in force: 3", Remedy::Fatal),
            ("ERR unknown command 'FCALL'", Remedy::Fatal),
        ];
        for (reply, expected) in cases {
            assert_eq!(remedy(&Error::new(ErrorKind::Unknown, reply)), expected, "{reply}");
        }
    }

    #[test]
    fn the_connection_s_own_errors_have_a_remedy_too() {
        let cases = [
            (ErrorKind::Timeout, Remedy::Retry),
            (ErrorKind::Backpressure, Remedy::Retry),
            (ErrorKind::IO, Remedy::Reconnect),
            (ErrorKind::Parse, Remedy::Reconnect),
            (ErrorKind::Canceled, Remedy::Reconnect),
            (ErrorKind::Url, Remedy::Fatal),
        ];
        for (kind, expected) in cases {
            assert_eq!(remedy(&Error::new(kind.clone(), "")), expected, "{kind:?}");
        }
    }
}
