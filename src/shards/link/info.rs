//! A server's account of itself, read from the answer to INFO.

use fred::{clients::Client, error::Error, interfaces::ClientLike};

use super::connection::command;

/// The sections that are asked for.
const SECTIONS: [&str; 3] = ["server", "clients", "replication"];

/// The part of INFO that a link needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerInfo {
    /// Tells this life of this server from every other.
    pub(super) run_id: String,
    /// Whether the server is a replica of another one.
    pub(super) is_replica: bool,
    /// Connections of all clients to the server, and how many it takes.
    pub(super) clients: Option<(u64, u64)>,
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

    fn parse(text: &str) -> Self {
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim())
        };
        let number = |name: &str| value(name).and_then(|value| value.parse().ok());
        Self {
            run_id: value("run_id").unwrap_or_default().to_owned(),
            is_replica: value("role") == Some("slave"),
            clients: number("connected_clients").zip(number("maxclients")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_info_are_read_and_missing_ones_are_unknown() {
        let info = ServerInfo::parse(
            "# Server\r\nrun_id:abc\r\n\r\nconnected_clients:3\r\nmaxclients:100\r\nrole:slave\r\n",
        );
        let expected = ServerInfo { run_id: "abc".into(), is_replica: true, clients: Some((3, 100)) };
        assert_eq!(info, expected);
        let unknown = ServerInfo { run_id: String::new(), is_replica: false, clients: None };
        assert_eq!(ServerInfo::parse("garbage\r\nmaxclients:many"), unknown);
    }
}
