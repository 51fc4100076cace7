//! A server's account of itself, read from the answer to INFO.

use fred::{clients::Client, error::Error, interfaces::ClientLike};

use super::connection::command;
use crate::shards::backend::condition::{Condition, Conditions};

/// The sections that are asked for.
const SECTIONS: [&str; 6] = ["server", "clients", "memory", "persistence", "replication", "cluster"];
/// From this share of `maxmemory` on memory is nearly full, in per cent.
const NEARLY_FULL: u64 = 90;
/// Below this share it is not any more: a server at the edge is not a line each time that it is asked.
const ROOM_AGAIN: u64 = 85;

/// The part of INFO that a link needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ServerInfo {
    /// Tells this life of this server from every other.
    pub(super) run_id: String,
    /// Connections of all clients to the server, and how many it takes.
    pub(super) clients: Option<(u64, u64)>,
    /// The conditions that hold, but for the share of the memory.
    known: Conditions,
    /// The share of `maxmemory` that is used, in per cent; `None` without a limit.
    memory: Option<u64>,
}

impl ServerInfo {
    /// Asks a server.
    ///
    /// # Errors
    /// No answer, or an error reply: the user may lack the right to ask.
    pub(super) async fn of(client: &Client) -> Result<Self, Error> {
        let text: String = Box::pin(client.custom(command("INFO"), SECTIONS.to_vec())).await?;
        Ok(Self::parse(&text))
    }

    /// The conditions of the server, `before` being those at the last look.
    pub(super) fn conditions(&self, before: Conditions) -> Conditions {
        let bound = if before.has(Condition::MemoryNearlyFull) { ROOM_AGAIN } else { NEARLY_FULL };
        self.known.with(Condition::MemoryNearlyFull, self.memory.is_some_and(|used| used >= bound))
    }

    fn parse(text: &str) -> Self {
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim())
        };
        let number = |name: &str| value(name).and_then(|value| value.parse::<u64>().ok());
        let limit = number("maxmemory").filter(|limit| *limit > 0);
        let used = |limit: u64| number("used_memory").map(|used| used.saturating_mul(100) / limit);
        Self {
            run_id: value("run_id").unwrap_or_default().to_owned(),
            clients: number("connected_clients").zip(number("maxclients")),
            known: Conditions::default()
                .with(Condition::Cluster, number("cluster_enabled") == Some(1))
                .with(Condition::Replica, value("role") == Some("slave"))
                .with(
                    Condition::Evicts,
                    value("maxmemory_policy").is_some_and(|policy| policy != "noeviction"),
                )
                .with(Condition::NoAof, number("aof_enabled") == Some(0)),
            memory: limit.and_then(used),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(info: &str) -> Vec<Condition> {
        ServerInfo::parse(info).conditions(Conditions::default()).iter().collect()
    }

    #[test]
    fn lines_of_info_are_read_and_missing_ones_are_unknown() {
        let info =
            ServerInfo::parse("# Server\r\nrun_id:abc\r\n\r\nconnected_clients:3\r\nmaxclients:100\r\n");
        let expected = ServerInfo { run_id: "abc".into(), clients: Some((3, 100)), ..ServerInfo::default() };
        assert_eq!(info, expected);
        assert_eq!(ServerInfo::parse("garbage\r\nmaxclients:many"), ServerInfo::default());
    }

    #[test]
    fn each_condition_is_seen_in_its_line() {
        assert_eq!(conditions(""), []);
        let sound = "role:master\r\ncluster_enabled:0\r\naof_enabled:1\r\nmaxmemory_policy:noeviction\r\n";
        assert_eq!(conditions(sound), []);
        assert_eq!(conditions("role:slave\r\n"), [Condition::Replica]);
        assert_eq!(conditions("cluster_enabled:1\r\n"), [Condition::Cluster]);
        assert_eq!(conditions("aof_enabled:0\r\n"), [Condition::NoAof]);
        assert_eq!(conditions("maxmemory_policy:volatile-lru\r\n"), [Condition::Evicts]);
        assert_eq!(conditions("used_memory:90\r\nmaxmemory:100\r\n"), [Condition::MemoryNearlyFull]);
        assert_eq!(conditions("used_memory:90\r\nmaxmemory:0\r\n"), [], "without a limit");
    }

    #[test]
    fn memory_at_the_edge_does_not_come_and_go() {
        let is_full = |used: u64, before| {
            let info = ServerInfo::parse(&format!("used_memory:{used}\r\nmaxmemory:1000\r\n"));
            info.conditions(before)
        };
        let full = is_full(900, Conditions::default());
        assert_eq!(is_full(899, Conditions::default()), Conditions::default());
        assert_eq!((is_full(899, full), is_full(851, full)), (full, full));
        assert_eq!(is_full(849, full), Conditions::default());
    }
}
