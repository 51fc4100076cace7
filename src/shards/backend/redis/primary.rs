//! The server that takes the posts, which the other connections of a link follow.

use tokio::sync::watch;

use super::info::ServerInfo;

/// The primary, as the connection for posts found it. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Primary(watch::Sender<String>);

impl Primary {
    /// A primary that is not known yet.
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(String::new()))
    }

    /// Records the server that takes the posts.
    pub(super) fn found(&self, info: &ServerInfo) {
        if !info.run_id.is_empty() {
            self.0.send_if_modified(|run_id| {
                let is_another = *run_id != info.run_id;
                run_id.clone_from(&info.run_id);
                is_another
            });
        }
    }

    /// Waits until posts go to another server than this one; without end where either is not known.
    pub(super) async fn is_another_than(&self, own: Option<&ServerInfo>) -> String {
        let Some(own) = own.filter(|info| !info.run_id.is_empty()) else {
            return std::future::pending().await;
        };
        let mut found = self.0.subscribe();
        let moved = found.wait_for(|run_id| !run_id.is_empty() && *run_id != own.run_id).await.is_ok();
        if moved { "the primary is another server now".to_owned() } else { std::future::pending().await }
    }
}
