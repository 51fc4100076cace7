//! A cpu cgroup of version 1 with a quota.

use std::{fs, path::PathBuf, process::Command};

/// A group of the test's own; dropping it removes it, once the processes in it have ended.
pub(crate) struct Group(PathBuf);

impl Group {
    /// A group that may use so many hundredths of a processor.
    pub(crate) fn new(name: &str, hundredths: u32) -> Self {
        let group = Self(hierarchy().join(format!("fanfare-verify-{}-{name}", std::process::id())));
        fs::create_dir(&group.0).expect("a cpu cgroup of version 1 can be made: run this as root");
        group.set("cpu.cfs_period_us", "100000");
        group.set("cpu.cfs_quota_us", &format!("{}", hundredths * 1_000));
        // What else runs on the machine takes nothing of the quota.
        group.set("cpu.shares", "20000");
        group
    }

    fn set(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).unwrap();
    }

    /// What a shell runs to be in the group.
    pub(crate) fn script(&self) -> String {
        format!("echo $$ > {}/cgroup.procs", self.0.display())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Where the hierarchy is mounted; it is mounted if it is not.
fn hierarchy() -> PathBuf {
    let usual = PathBuf::from("/sys/fs/cgroup/cpu");
    if usual.join("cpu.cfs_quota_us").exists() || usual.join("cgroup.procs").exists() {
        return usual;
    }
    let own = std::env::temp_dir().join("fanfare-verify-cgroup");
    fs::create_dir_all(&own).unwrap();
    if !own.join("cgroup.procs").exists() {
        let mounted = Command::new("mount").args(["-t", "cgroup", "-o", "cpu", "none"]).arg(&own).status();
        assert!(mounted.is_ok_and(|status| status.success()), "this machine has no cpu cgroup of version 1");
    }
    own
}
