//! Flags for pods and shards that the tester starts itself.

use std::path::{Path, PathBuf};

use clap::Args;

use super::error::FleetError;
use crate::drive::args::RunArgs;

/// A run over pods that are started for it.
#[derive(Debug, Args)]
#[command(mut_arg("url", |url| url.required(false).hide(true)))]
pub struct LocalArgs {
    /// What is started.
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// The run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Pods and shards on this machine.
#[derive(Debug, Clone, Args)]
pub struct FleetArgs {
    /// Pods to start; viewers are spread over them
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub pods: u16,
    /// Redis shards to start; 0 uses the pod's embedded one
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=26))]
    pub shards: u16,
    /// Starts one more pod, which takes the REST posts and is counted apart
    #[arg(long)]
    pub posting_pod: bool,
    /// The pods' program [default: `fanfare` beside this one]
    #[arg(long, value_name = "PATH")]
    pub pod: Option<PathBuf>,
    /// The shards' program
    #[arg(long, default_value = "redis-server", value_name = "PATH")]
    pub redis: PathBuf,
    /// A setting of the pods; may be repeated
    #[arg(long, value_name = "FANFARE_NAME=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
    /// CPUs that pods are pinned to, in turn
    #[arg(long, value_delimiter = ',', value_name = "CPU")]
    pub pod_cpus: Vec<u16>,
    /// CPUs that shards are pinned to, in turn
    #[arg(long, value_delimiter = ',', value_name = "CPU")]
    pub redis_cpus: Vec<u16>,
    /// The first pod's public port, the others' follow it [default: free ones]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65_000))]
    pub pod_port: Option<u16>,
    /// The first shard's port, the others' follow it [default: free ones]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65_000))]
    pub redis_port: Option<u16>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if name.starts_with("FANFARE_") => Ok((name.to_owned(), value.to_owned())),
        _ => Err("FANFARE_NAME=VALUE".to_owned()),
    }
}

/// A run with these flags, to be aimed at a fleet.
pub(crate) fn run_args(flags: &str) -> Result<RunArgs, FleetError> {
    let args = RunArgs::of_flags(&format!("--url ws://127.0.0.1:1 {flags}"));
    args.map_err(|error| FleetError::Flags(vec![error.to_string()]))
}

/// The programs of a fleet, which are there.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) pod: PathBuf,
    /// The program of the pod that takes the posts.
    pub(crate) poster: PathBuf,
    pub(crate) redis: PathBuf,
}

impl FleetArgs {
    /// One sentence for each mistake.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let alone = self.shards > 0 || (self.pods == 1 && !self.posting_pod);
        let mistake = "--shards 0: pods on embedded shards know nothing of each other, so --pods 1 and no --posting-pod";
        if alone { Vec::new() } else { vec![mistake.to_owned()] }
    }

    /// Finds the programs, before anything is started.
    pub(crate) fn programs(&self) -> Result<Programs, FleetError> {
        let pod = match &self.pod {
            Some(path) => path.clone(),
            None => std::env::current_exe()?.with_file_name("fanfare"),
        };
        let pod = found(&pod).ok_or(FleetError::NoPod(pod))?;
        let redis = match (self.shards, found(&self.redis)) {
            (0, _) => self.redis.clone(),
            (_, redis) => redis.ok_or_else(|| FleetError::NoRedis(self.redis.clone()))?,
        };
        Ok(Programs { poster: pod.clone(), pod, redis })
    }
}

/// The program's whole path; a bare name is looked for where a shell would.
fn found(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 || program.is_absolute() {
        return program.is_file().then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_path_and_by_name() {
        assert!(found(Path::new("sh")).is_some_and(|path| path.is_absolute()));
        assert_eq!(found(Path::new("/bin/sh")), Some("/bin/sh".into()));
        assert_eq!(found(Path::new("no-such-program-at-all")), None);
        assert_eq!(found(Path::new("/no/such/program")), None);
        assert_eq!(found(Path::new("/bin")), None, "a folder is no program");
    }
}
