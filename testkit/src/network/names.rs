//! A name that leads where a test says, in the resolver of the system.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use crate::TempFile;

/// A name and its addresses, for pods that are started with its settings.
///
/// The library of the Debian package libnss-wrapper stands before the C library's `getaddrinfo` in such a pod and reads
/// this file instead of `/etc/hosts`.
pub struct Name {
    name: &'static str,
    hosts: TempFile,
    changes: AtomicU64,
}

impl Name {
    /// A name that leads to these addresses.
    pub fn of(name: &'static str, addresses: &[&str]) -> Self {
        let named = Self { name, hosts: TempFile::with(""), changes: AtomicU64::new(0) };
        named.lead_to(addresses);
        named
    }

    /// Lets the name have these addresses from now on.
    pub fn lead_to(&self, addresses: &[&str]) {
        let lines: Vec<_> = addresses.iter().map(|address| format!("{address} {}\n", self.name)).collect();
        let path = Path::new(self.hosts.path());
        let new = path.with_extension("new");
        fs::write(&new, lines.concat()).unwrap();
        // A file that has the time of the last one, in whole seconds, is not read again.
        let change = Duration::from_secs(self.changes.fetch_add(1, Ordering::Relaxed));
        let file = fs::File::options().write(true).open(&new).unwrap();
        file.set_modified(SystemTime::now() + change).unwrap();
        fs::rename(&new, path).unwrap();
    }

    /// Settings of a pod that knows the name.
    pub fn settings(&self) -> [(&'static str, String); 2] {
        [("LD_PRELOAD", library()), ("NSS_WRAPPER_HOSTS", self.hosts.path().to_owned())]
    }
}

fn library() -> String {
    let folders = fs::read_dir("/usr/lib").unwrap().filter_map(Result::ok);
    let mut paths = folders.map(|folder| folder.path().join("libnss_wrapper.so"));
    let path = paths.find(|path| path.exists());
    path.expect("libnss_wrapper.so, of the Debian package libnss-wrapper").to_str().unwrap().to_owned()
}
