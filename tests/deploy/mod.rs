//! What the folder `deploy` holds fits together: rules, their tests, the dashboard and the document about the alerts.

mod alertmanager;
mod collector;
mod dashboard;
mod queries;
mod rules;

pub(crate) use rules::RUNBOOKS;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A path in the repository.
pub(crate) fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

fn read(below: &str) -> String {
    fs::read_to_string(path(below)).unwrap()
}

/// The files below a folder whose names hold a word and end so; at least one.
pub(crate) fn files(folder: &str, word: &str, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![path(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if name.contains(word) && name.ends_with(end) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no file in {folder} whose name holds {word:?} and ends with {end:?}");
    found
}

/// Runs promtool, which must find no fault. `$PROMTOOL` is another one than Debian's (`make operators`).
fn promtool(arguments: &[&str], files: &[PathBuf]) {
    let tool = std::env::var_os("PROMTOOL").unwrap_or_else(|| "promtool".into());
    let output = Command::new(tool).args(arguments).args(files).output().expect("promtool runs");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}
