//! Cgroups of version 1 with limits.

use std::{fs, path::PathBuf, process::Command};

/// A group of the test's own; dropping it removes it, once the processes in it have ended.
pub(crate) struct Group(PathBuf);

impl Group {
    /// A group that may use so many hundredths of a processor.
    pub(crate) fn of_cpu(name: &str, hundredths: u32) -> Self {
        let group = Self::make("cpu", name);
        group.set("cpu.cfs_period_us", "100000");
        group.limit_cpu(hundredths);
        // What else runs on the machine takes nothing of the quota.
        group.set("cpu.shares", "20000");
        group
    }

    /// Changes how many it may use.
    pub(crate) fn limit_cpu(&self, hundredths: u32) {
        self.set("cpu.cfs_quota_us", &format!("{}", hundredths * 1_000));
    }

    /// A group that may use so many bytes of memory.
    pub(crate) fn of_memory(name: &str, bytes: u64) -> Self {
        let group = Self::make("memory", name);
        group.limit_memory(bytes);
        group
    }

    /// Changes how many bytes it may use.
    pub(crate) fn limit_memory(&self, bytes: u64) {
        self.set("memory.limit_in_bytes", &bytes.to_string());
    }

    /// A group whose threads can be made to stand still.
    pub(crate) fn of_frozen(name: &str) -> Self {
        Self::make("freezer", name)
    }

    /// Takes a thread in.
    pub(crate) fn take_thread(&self, id: &str) {
        self.set("tasks", id);
    }

    /// Has the threads stand still.
    pub(crate) fn freeze(&self) {
        self.set("freezer.state", "FROZEN");
    }

    /// Has them go on.
    pub(crate) fn thaw(&self) {
        self.set("freezer.state", "THAWED");
    }

    fn make(controller: &str, name: &str) -> Self {
        let name = format!("fanfare-verify-{}-{name}", std::process::id());
        let group = Self(hierarchy(controller).join(name));
        fs::create_dir(&group.0).expect("a cgroup of version 1 can be made: run this as root");
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
        // Of a freezer: what stands still does not even die.
        let _ = fs::write(self.0.join("freezer.state"), "THAWED");
        let _ = fs::remove_dir(&self.0);
    }
}

/// Where a controller's hierarchy is mounted; it is mounted if it is not.
fn hierarchy(controller: &str) -> PathBuf {
    let usual = PathBuf::from("/sys/fs/cgroup").join(controller);
    if usual.join("cgroup.procs").exists() {
        return usual;
    }
    let own = std::env::temp_dir().join(format!("fanfare-verify-cgroup-{controller}"));
    fs::create_dir_all(&own).unwrap();
    if !own.join("cgroup.procs").exists() {
        let mounted =
            Command::new("mount").args(["-t", "cgroup", "-o", controller, "none"]).arg(&own).status();
        let is_mounted = mounted.is_ok_and(|status| status.success());
        assert!(is_mounted, "this machine has no {controller} cgroup of version 1");
    }
    own
}
