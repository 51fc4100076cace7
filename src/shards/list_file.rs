//! The file with the list of shards, which is read again when it changes.

use std::{path::PathBuf, time::Duration};

use tokio::time::sleep;

use super::{Shards, backend::Shard, parse_shards};
use crate::shards::routing::address::ShardAddress;

/// How often it is looked whether the file has changed; orchestrators exchange mounted files. Within this time a
/// password that was refused is looked up again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Shards {
    /// Follows the file with the list of shards without end: URLs that change take effect at once. `list` is what the
    /// pod was started with.
    ///
    /// Shards that are added, removed or given another weight take effect at the next start, together with the ring
    /// epoch that is raised for them.
    pub async fn follow_file(self, file: Option<PathBuf>, list: Vec<ShardAddress>) {
        let Some(file) = file else { return std::future::pending().await };
        let mut known = list;
        // A fault is a line once, not each second.
        let mut told = String::new();
        let mut taken = String::new();
        loop {
            sleep(LOOK_EVERY).await;
            // A file that is being exchanged is not there for a moment.
            let Ok(text) = tokio::fs::read_to_string(&file).await else { continue };
            if text == taken {
                continue;
            }
            let fault = match parse_shards(&text) {
                Ok(list) => self.take_list(&mut known, &list),
                Err(faults) => faults.join("; "),
            };
            if fault.is_empty() {
                taken = text;
            } else {
                taken.clear();
                if fault != told {
                    tracing::error!(file = %file.display(), fault, "the list of shards changed and was not taken");
                }
            }
            told = fault;
        }
    }

    /// Takes the URLs of the shards that `known` names from another list, and keeps them there. Returns what else the
    /// list has that is not taken, in words.
    fn take_list(&self, known: &mut [ShardAddress], list: &[ShardAddress]) -> String {
        let mut faults = Vec::new();
        let mut is_same_ring = list.len() == known.len();
        for ShardAddress { name, weight, url } in known {
            let Some(now) = list.iter().find(|shard| shard.name == *name) else {
                is_same_ring = false;
                continue;
            };
            is_same_ring &= now.weight == *weight;
            let member = self.0.shards.iter().find(|member| member.name == *name);
            if let (Some(Shard::Redis(link)), true) = (member.map(|member| &member.shard), now.url != *url) {
                match link.set_url(&now.url) {
                    Ok(()) => {
                        tracing::info!(shard = name, address = link.address(), "shard URL changed");
                        url.clone_from(&now.url);
                    }
                    Err(error) => faults.push(format!("{name}: {error}")),
                }
            }
        }
        if !is_same_ring {
            faults.push(
                "shards were added, removed or given another weight: restart the pods, with FANFARE_RING_EPOCH raised"
                    .to_owned(),
            );
        }
        faults.join("; ")
    }
}
