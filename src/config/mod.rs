//! Settings: flags and environment, checked all at once.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;

mod command;
mod edge;
mod faults;
mod keys;
mod objectives;
mod ready;

use crate::{
    identity,
    readiness::ReadinessSettings,
    shards::ShardSettings,
    telemetry::{Objectives, VERSION_AND_BUILD},
};
pub use command::{CommandLine, Tool, Typed, unknown_settings};
pub use edge::Edge;
use edge::EdgeFlags;
pub use faults::BadConfig;
use faults::{Faults, MAX_NAME_BYTES, is_name_char};
use keys::KeyFlags;
pub use keys::TokenFlags;
use objectives::ObjectiveFlags;
use ready::ReadyFlags;

/// Every setting as it was given. Each flag has an environment variable of the same name.
#[derive(Debug, Clone, Parser)]
#[command(name = "fanfare", version = VERSION_AND_BUILD, about = "Fans live-stream comments out to viewers over WebSockets")]
pub struct Flags {
    /// Address of the public listener: viewers, backends, the demo page
    #[arg(long, env = "FANFARE_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Address of the ops listener: probes; never make it public
    #[arg(long, env = "FANFARE_OPS_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8081")]
    ops_listen: String,
    /// Let anybody watch and post although there are no keys and the public listener is not on a loopback address
    #[arg(long, env = "FANFARE_OPEN", value_name = "true|false", default_value = "false")]
    open: String,
    #[command(flatten)]
    keys: KeyFlags,
    /// Serve the demo page although there are keys
    #[arg(long, env = "FANFARE_DEMO", value_name = "true|false", default_value = "false")]
    demo: String,
    /// Redis shards, separated by commas: name=redis://user:password@host:port?weight=N; none: the embedded shard
    #[arg(long, env = "FANFARE_SHARDS", value_name = "LIST", hide_env_values = true)]
    shards: Option<String>,
    /// File that holds the list of shards instead, so that passwords stay out of the environment
    #[arg(long, env = "FANFARE_SHARDS_FILE", value_name = "FILE")]
    shards_file: Option<PathBuf>,
    /// Number of changes of the list of shards: raise it at each, so that pods with an older list cannot post
    #[arg(long, env = "FANFARE_RING_EPOCH", value_name = "NUMBER", default_value = "1")]
    ring_epoch: String,
    /// Name of this pod, shown to viewers [default: the host's name]
    #[arg(long, env = "FANFARE_POD", value_name = "NAME")]
    pod: Option<String>,
    /// Track of this pod, shown to viewers
    #[arg(long, env = "FANFARE_TRACK", value_name = "NAME", default_value = "blue")]
    track: String,
    /// Comments that a stream's history holds
    #[arg(long, env = "FANFARE_HISTORY_COMMENTS", value_name = "COUNT", default_value = "500")]
    history_comments: String,
    /// How long a history is kept after the last post or read
    #[arg(long, env = "FANFARE_HISTORY_TTL", value_name = "DURATION", default_value = "1h")]
    history_ttl: String,
    /// How long a subscription outlives a stream's last viewer
    #[arg(long, env = "FANFARE_LINGER", value_name = "DURATION", default_value = "10s")]
    linger: String,
    /// How long the comments of a busy stream are gathered before they go out together; 0: never
    #[arg(long, env = "FANFARE_FANOUT_WINDOW", value_name = "DURATION", default_value = "50ms")]
    fanout_window: String,
    #[command(flatten)]
    ready: ReadyFlags,
    #[command(flatten)]
    objectives: ObjectiveFlags,
    #[command(flatten)]
    edge: EdgeFlags,
    /// At the end: how long load balancers have to notice that the pod is not ready; it serves everything meanwhile
    #[arg(long, env = "FANFARE_SETTLE", value_name = "DURATION", default_value = "5s")]
    settle: String,
    /// At the end: the time over which viewers are asked to connect elsewhere
    #[arg(long, env = "FANFARE_DRAIN", value_name = "DURATION", default_value = "30s")]
    drain: String,
    /// How long whoever ends the pod waits before it kills it; the exit must be shorter
    #[arg(long, env = "FANFARE_GRACE", value_name = "DURATION", default_value = "50s")]
    grace: String,
}

/// Every setting, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the pod listens.
    pub listeners: ListenerAddresses,
    /// Where keys are, and what tokens have to say.
    pub identity: identity::IdentitySettings,
    /// The shards, their histories, and this pod's name.
    pub shards: ShardSettings,
    /// The file with the list of shards, if they came from one: it is read again when it changes.
    pub shards_file: Option<PathBuf>,
    /// Track of this pod.
    pub track: String,
    /// How long the comments of a hot stream are gathered at the most.
    pub fanout_window: Duration,
    /// When the pod takes viewers, and how many.
    pub readiness: ReadinessSettings,
    /// What is in time.
    pub objectives: Objectives,
    /// Who comes in, and how.
    pub edge: Edge,
    /// How long the phases of an exit take.
    pub exit: ExitTimes,
}

/// The addresses of the two listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerAddresses {
    /// Viewers and backends.
    pub public: SocketAddr,
    /// Probes, metrics and people.
    pub ops: SocketAddr,
}

/// The times of an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitTimes {
    /// How long load balancers have to notice that the pod is not ready.
    pub settle: Duration,
    /// The time over which viewers are asked to connect elsewhere.
    pub drain: Duration,
}

impl Flags {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`BadConfig`] names every fault, not only the first.
    pub fn check(self) -> Result<Config, BadConfig> {
        let mut faults = Faults(Vec::new());
        let listen = faults.address("FANFARE_LISTEN", &self.listen);
        let open = faults.boolean("FANFARE_OPEN", &self.open);
        let demo = faults.boolean("FANFARE_DEMO", &self.demo);
        let identity = self.keys.check(&mut faults);
        let has_keys = !identity.is_open();
        let config = Config {
            listeners: ListenerAddresses {
                public: listen,
                ops: faults.address("FANFARE_OPS_LISTEN", &self.ops_listen),
            },
            identity,
            shards: ShardSettings {
                list: faults.shards(self.shards, self.shards_file.clone()),
                ring_epoch: faults.number("FANFARE_RING_EPOCH", &self.ring_epoch, 1..=u64::from(u32::MAX)),
                pod: faults.name("FANFARE_POD", self.pod.unwrap_or_else(host_name)),
                history_comments: faults.number(
                    "FANFARE_HISTORY_COMMENTS",
                    &self.history_comments,
                    1..=10_000,
                ),
                history_ttl: faults.duration("FANFARE_HISTORY_TTL", &self.history_ttl, 1, 7 * 86_400),
                linger: faults.duration("FANFARE_LINGER", &self.linger, 0, 3_600),
            },
            shards_file: self.shards_file,
            track: faults.name("FANFARE_TRACK", self.track),
            fanout_window: faults.duration("FANFARE_FANOUT_WINDOW", &self.fanout_window, 0, 1),
            readiness: self.ready.check(&mut faults),
            objectives: self.objectives.check(&mut faults),
            edge: self.edge.check(demo || !has_keys, &mut faults),
            exit: ExitTimes {
                settle: faults.duration("FANFARE_SETTLE", &self.settle, 0, 600),
                drain: faults.duration("FANFARE_DRAIN", &self.drain, 0, 3_600),
            },
        };
        faults.grace(&self.grace, config.exit.settle + config.exit.drain + EXIT_BEYOND);
        if open && has_keys {
            faults
                .0
                .push("FANFARE_OPEN: true, and there are keys; leave it out, or leave these out".to_owned());
        }
        if !listen.ip().is_loopback() && !open && !has_keys {
            faults.0.push(format!(
                "FANFARE_LISTEN: {listen} is not a loopback address, and no keys are configured: anybody could post in \
                 any stream. Set FANFARE_VIEWER_KEYS and FANFARE_SERVICE_KEYS, listen on 127.0.0.1, or say \
                 FANFARE_OPEN=true if that is meant"
            ));
        }
        if faults.0.is_empty() { Ok(config) } else { Err(BadConfig(faults.0)) }
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| is_name_char(*c)).take(MAX_NAME_BYTES).collect();
    if name.is_empty() { "fanfare".to_owned() } else { name }
}

/// An exit takes no more than this beyond the times for load balancers and viewers, whatever hangs: README, "Leaving".
const EXIT_BEYOND: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str]) -> Result<Config, BadConfig> {
        Flags::try_parse_from([&["fanfare"], arguments].concat()).unwrap().check()
    }

    #[test]
    fn the_defaults_are_open_on_loopback() {
        let config = check(&[]).unwrap();
        assert_eq!(config.listeners.public.to_string(), "127.0.0.1:8080");
        assert!(!config.shards.pod.is_empty());
        assert_eq!((config.shards.history_comments, config.shards.linger), (500, Duration::from_secs(10)));
        assert_eq!(config.fanout_window, Duration::from_millis(50));
        assert_eq!(check(&["--fanout-window=0"]).unwrap().fanout_window, Duration::ZERO);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let faults = check(&[
            "--listen=nowhere",
            "--open=perhaps",
            "--pod=a b",
            "--history-comments=0",
            "--history-ttl=soon",
            "--linger=-1s",
            "--fanout-window=2s",
            "--settle=1000h",
            "--ready-cpu-high=7",
        ]);
        let Err(BadConfig(faults)) = faults else { panic!("accepted") };
        let names: Vec<_> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
        let expected = [
            "FANFARE_LISTEN",
            "FANFARE_OPEN",
            "FANFARE_POD",
            "FANFARE_HISTORY_COMMENTS",
            "FANFARE_HISTORY_TTL",
            "FANFARE_LINGER",
            "FANFARE_FANOUT_WINDOW",
            "FANFARE_SETTLE",
            "FANFARE_READY_CPU_HIGH",
        ];
        let mut sorted = names.clone();
        sorted.sort_unstable();
        let mut wanted = expected.to_vec();
        wanted.sort_unstable();
        assert_eq!(sorted, wanted);
    }

    /// Symptom: pods whose list of shards was mounted empty knew nothing of each other, and were ready. Cause: an empty
    /// list is the embedded shard, and an empty file was an empty list.
    #[test]
    fn a_file_that_names_no_shard_is_a_fault() {
        let Err(BadConfig(faults)) = check(&["--shards-file=/dev/null"]) else { panic!("accepted") };
        assert_eq!(faults, ["FANFARE_SHARDS_FILE: /dev/null: the file names no shard"]);
        assert_eq!(check(&["--shards="]).unwrap().shards.list, []);
        // A template whose names are empty: each pod would have been alone on an embedded shard.
        let Err(BadConfig(faults)) = check(&["--shards= ,"]) else { panic!("accepted") };
        assert_eq!(faults, ["FANFARE_SHARDS: the list names no shard; leave it out for the embedded one"]);
        let Err(BadConfig(faults)) = check(&["--shards-file=/dev/null", "--shards=a=redis://h"]) else {
            panic!("accepted")
        };
        assert_eq!(faults, ["FANFARE_SHARDS_FILE: there is FANFARE_SHARDS as well; leave one of them out"]);
    }

    #[test]
    fn an_open_pod_listens_elsewhere_only_if_told_so() {
        assert!(check(&["--listen=0.0.0.0:8080"]).is_err());
        assert!(check(&["--listen=0.0.0.0:8080", "--open=true"]).is_ok());
    }
}
