//! The file with the list of shards, which is read again when it changes.

use std::{path::PathBuf, time::Duration};

use tokio::time::sleep;

use super::{Shards, kinds::Shard, list::ShardAddress, parse_shards};

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
        loop {
            sleep(LOOK_EVERY).await;
            // A file that is being exchanged is not there for a moment.
            let Ok(text) = tokio::fs::read_to_string(&file).await else { continue };
            let fault = match parse_shards(&text) {
                Ok(list) => self.take_list(&mut known, list),
                Err(faults) => faults.join("; "),
            };
            if !fault.is_empty() && fault != told {
                tracing::error!(file = %file.display(), fault, "the list of shards changed and was not taken");
            }
            told = fault;
        }
    }

    /// Takes the URLs of a list of the same shards. Returns what is wrong, in words.
    fn take_list(&self, known: &mut Vec<ShardAddress>, list: Vec<ShardAddress>) -> String {
        let ring = |list: &[ShardAddress]| -> Vec<(String, u16)> {
            let mut ring: Vec<_> = list.iter().map(|shard| (shard.name.clone(), shard.weight)).collect();
            ring.sort_unstable();
            ring
        };
        if ring(&list) != ring(known) {
            return "shards were added, removed or given another weight: restart the pods, with FANFARE_RING_EPOCH raised"
                .to_owned();
        }
        let mut faults = Vec::new();
        for shard in list.iter().filter(|shard| !known.contains(shard)) {
            let ShardAddress { name, url, .. } = shard;
            let member = self.0.shards.iter().find(|member| member.name == *name);
            if let Some(Shard::Redis(link)) = member.map(|member| &member.shard) {
                match link.set_url(url) {
                    Ok(()) => tracing::info!(shard = name, address = link.address(), "shard URL changed"),
                    Err(error) => faults.push(format!("{name}: {error}")),
                }
            }
        }
        *known = list;
        faults.join("; ")
    }
}
