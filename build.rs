//! Names the build: the commit that it was made of, for `--version`, `/status`, `target_info` and the log.
#![allow(clippy::print_stdout, reason = "so a build script speaks to cargo")]

use std::process::Command;

fn main() {
    // Where the sources come without git, as into an image.
    println!("cargo::rerun-if-env-changed=BUILD_COMMIT");
    let given = std::env::var("BUILD_COMMIT").ok().filter(|commit| !commit.is_empty());
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let build = match given {
        Some(commit) => commit,
        None if is_release => {
            watch();
            commit().unwrap_or_else(|| "unknown".to_owned())
        }
        // It would be built anew after each commit, and is nothing that anybody deploys.
        None => "debug".to_owned(),
    };
    println!("cargo::rustc-env=BUILD_COMMIT={build}");
}

/// The commit, with `+` when a file of it was changed.
fn commit() -> Option<String> {
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { commit + "+" })
}

/// Runs again when a commit is made or another one checked out, and when a source changes.
fn watch() {
    for name in ["HEAD", "logs/HEAD", "index"] {
        if let Some(path) = git(&["rev-parse", "--path-format=absolute", "--git-path", name]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=Cargo.toml");
}

fn git(args: &[&str]) -> Option<String> {
    let done = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(done.stdout).ok()?;
    done.status.success().then(|| text.trim().to_owned())
}
