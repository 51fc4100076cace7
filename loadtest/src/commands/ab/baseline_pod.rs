//! The pod that hears everything: the same program, built with a switch that the default build does not have.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::commands::local::{Fleet, FleetError};

/// Names the streams to hear.
pub(super) const VARIABLE: &str = "FANFARE_HEAR";
const FEATURE: &str = "hear-everything";
/// How long a pod may take to hear all streams.
const HEARING: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The program that is given, else one that is built as this one was.
pub(super) fn find_or_build(given: Option<&Path>) -> Result<PathBuf, FleetError> {
    match given {
        Some(path) if path.is_file() => Ok(path.to_owned()),
        Some(path) => Err(FleetError::NoPod(path.to_owned())),
        None => build(),
    }
}

fn build() -> Result<PathBuf, FleetError> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if !source.join("Cargo.toml").is_file() {
        return Err(FleetError::NotBuilt(format!("its source is not at {}", source.display())));
    }
    let own = std::env::current_exe()?;
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    // A folder of its own, so that nobody takes it for the program that is meant to run.
    let target = own.ancestors().nth(2).unwrap_or(&own).join(FEATURE);
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--locked", "--quiet", "--bin", "fanfare", "--features", FEATURE, "--target-dir"]);
    cargo.arg(&target).current_dir(source).stdin(Stdio::null());
    if profile == "release" {
        cargo.arg("--release");
    }
    match cargo.status() {
        Ok(status) if status.success() => Ok(target.join(profile).join("fanfare")),
        Ok(status) => Err(FleetError::NotBuilt(format!("cargo {status}"))),
        Err(error) => Err(FleetError::NotBuilt(format!("cargo: {error}"))),
    }
}

/// Returns when every pod hears so many streams.
pub(super) async fn hears(fleet: &Fleet, streams: usize) -> Result<(), FleetError> {
    let deadline = Instant::now() + HEARING;
    for pod in &fleet.pods {
        loop {
            let hears = pod.counts().await.unwrap_or_default().subscriptions;
            if hears == streams as u64 {
                break;
            }
            if Instant::now() >= deadline {
                return Err(FleetError::Deaf { name: pod.name.clone(), hears, of: streams });
            }
            sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}
