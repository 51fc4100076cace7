//! Pods and shards that live as long as this value.

use super::{
    args::{FleetArgs, Programs},
    child_process::{ChildProcess, Folder},
    error::FleetError,
    pod::{self, Pod},
    redis::{self, Redis},
};
use crate::drive::args::RunArgs;

/// The processes of a run. Dropping it ends them, the pods first.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// Those that hold viewers.
    pub(crate) pods: Vec<Pod>,
    /// The one that takes the posts, if that is none of them.
    pub(crate) poster: Option<Pod>,
    pub(crate) shards: Vec<Redis>,
    /// After the processes that write to it.
    folder: Folder,
}

impl Fleet {
    /// Starts shards, then pods; returns when every pod is ready and hears every shard.
    pub(crate) async fn start(args: &FleetArgs, programs: &Programs) -> Result<Self, FleetError> {
        let mut fleet = Self { pods: Vec::new(), poster: None, shards: Vec::new(), folder: Folder::new()? };
        for number in 0..args.shards {
            let place = redis::Place {
                program: &programs.redis,
                folder: fleet.folder.path(),
                port: args.redis_port.map(|first| first.saturating_add(number)),
                cpu: in_turn(&args.redis_cpus, number),
            };
            let name = format!("redis-{}", shard_name(number));
            fleet.shards.push(Redis::start(name, place).await?);
        }
        for number in 0..args.pods {
            let cpu = in_turn(&args.pod_cpus, number);
            let settings = fleet.settings(args, args.pod_port.map(|first| first.saturating_add(number)));
            let place = pod::Place { program: &programs.pod, folder: fleet.folder.path(), cpu, settings };
            let pod = Pod::start(format!("pod-{}", number + 1), place).await?;
            fleet.pods.push(pod);
        }
        if args.posting_pod {
            let cpu = in_turn(&args.pod_cpus, args.pods);
            let settings = fleet.settings(args, None);
            let place = pod::Place { program: &programs.poster, folder: fleet.folder.path(), cpu, settings };
            fleet.poster = Some(Pod::start("poster".to_owned(), place).await?);
        }
        Ok(fleet)
    }

    fn settings(&self, args: &FleetArgs, port: Option<u16>) -> Vec<(String, String)> {
        let list =
            (0..).zip(&self.shards).map(|(number, shard)| format!("{}={}", shard_name(number), shard.url()));
        let mut settings = vec![
            ("FANFARE_LISTEN", format!("127.0.0.1:{}", port.unwrap_or(0))),
            ("FANFARE_OPS_LISTEN", "127.0.0.1:0".to_owned()),
            // A line for each viewer that leaves is no part of what is measured.
            ("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned())),
        ];
        if !self.shards.is_empty() {
            settings.push(("FANFARE_SHARDS", list.collect::<Vec<_>>().join(",")));
        }
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value));
        settings.chain(args.set.iter().cloned()).collect()
    }

    /// Says where each process is, for whoever wants to look at it during the run.
    pub(crate) fn tell(&self, say: fn(&str)) {
        for pod in self.pods.iter().chain(&self.poster) {
            let (name, pid) = (&pod.name, pod.held.pid());
            say(&format!("{name:<9} pid {pid}, http://{}/, http://{}/ready", pod.public, pod.ops));
        }
        for shard in &self.shards {
            say(&format!("{:<9} pid {}, {}", shard.name, shard.held.pid(), shard.url()));
        }
    }

    /// Every process with its name: pods, the one that takes the posts, shards.
    pub(crate) fn processes(&mut self) -> impl Iterator<Item = (&str, &mut ChildProcess)> {
        let pods = self.pods.iter_mut().chain(&mut self.poster);
        let pods = pods.map(|pod| (pod.name.as_str(), &mut pod.held));
        pods.chain(self.shards.iter_mut().map(|shard| (shard.name.as_str(), &mut shard.held)))
    }

    /// Aims a run at the fleet.
    pub(crate) fn aim(&self, mut run: RunArgs) -> RunArgs {
        run.url = self.pods.iter().map(Pod::url).collect();
        run.ops = self.pods.iter().map(|pod| format!("http://{}", pod.ops)).collect();
        run.rest_url = self.poster.iter().map(Pod::url).collect();
        run.machine.pid = self.pods.iter().map(|pod| pod.held.pid()).collect();
        run.machine.redis_pid = self.shards.iter().map(|shard| shard.held.pid()).collect();
        run
    }
}

fn in_turn(cpus: &[u16], number: u16) -> Option<u16> {
    cpus.get(usize::from(number).checked_rem(cpus.len())?).copied()
}

fn shard_name(number: u16) -> char {
    char::from(b'a' + u8::try_from(number % 26).unwrap_or_default())
}
