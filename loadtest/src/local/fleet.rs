//! Pods and shards that live as long as this value.

use super::{
    args::{FleetArgs, Programs},
    error::FleetError,
    held::{Folder, Held},
    pod::{self, Pod},
    redis::{self, Redis},
};

/// The processes of a run. Dropping it ends them, the pods first.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) pods: Vec<Pod>,
    pub(crate) shards: Vec<Redis>,
    /// After the processes that write to it.
    folder: Folder,
}

impl Fleet {
    /// Starts shards, then pods; returns when every pod is ready and hears every shard.
    pub(crate) async fn start(args: &FleetArgs, programs: &Programs) -> Result<Self, FleetError> {
        let folder = Folder::new()?;
        let mut fleet = Self { pods: Vec::new(), shards: Vec::new(), folder };
        for number in 0..args.shards {
            let place = redis::Place {
                program: &programs.redis,
                folder: fleet.folder.path(),
                port: args.redis_port.map(|first| first.saturating_add(number)),
                cpu: in_turn(&args.redis_cpus, number),
            };
            let name = format!("redis-{}", shard_name(number));
            let shard = Redis::start(name, place).await?;
            fleet.shards.push(shard);
        }
        for number in 0..args.pods {
            let name = format!("pod-{}", number + 1);
            let place = pod::Place {
                program: &programs.pod,
                folder: fleet.folder.path(),
                cpu: in_turn(&args.pod_cpus, number),
                settings: fleet.settings(args, number, &name),
            };
            let pod = Pod::start(name, place).await?;
            fleet.pods.push(pod);
        }
        Ok(fleet)
    }

    fn settings(&self, args: &FleetArgs, number: u16, name: &str) -> Vec<(String, String)> {
        let port = args.pod_port.map_or(0, |first| first.saturating_add(number));
        let list =
            (0..).zip(&self.shards).map(|(number, shard)| format!("{}={}", shard_name(number), shard.url()));
        let mut settings = vec![
            ("FANFARE_LISTEN", format!("127.0.0.1:{port}")),
            ("FANFARE_OPS_LISTEN", "127.0.0.1:0".to_owned()),
            ("FANFARE_POD", name.to_owned()),
            // A line for each viewer that leaves is no part of what is measured.
            ("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned())),
        ];
        if !self.shards.is_empty() {
            settings.push(("FANFARE_SHARDS", list.collect::<Vec<_>>().join(",")));
        }
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value));
        settings.chain(args.set.iter().cloned()).collect()
    }

    /// Every process with its name, pods first.
    pub(crate) fn processes(&mut self) -> impl Iterator<Item = (&str, &mut Held)> {
        let pods = self.pods.iter_mut().map(|pod| (pod.name.as_str(), &mut pod.held));
        pods.chain(self.shards.iter_mut().map(|shard| (shard.name.as_str(), &mut shard.held)))
    }

    /// Where viewers connect.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.pods.iter().map(|pod| format!("ws://{}", pod.public)).collect()
    }

    /// The pods' processes.
    pub(crate) fn pod_pids(&self) -> Vec<u32> {
        self.pods.iter().map(|pod| pod.held.pid()).collect()
    }
}

fn in_turn(cpus: &[u16], number: u16) -> Option<u16> {
    cpus.get(usize::from(number).checked_rem(cpus.len())?).copied()
}

fn shard_name(number: u16) -> char {
    char::from(b'a' + u8::try_from(number % 26).unwrap_or_default())
}
