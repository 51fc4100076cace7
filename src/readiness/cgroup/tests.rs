//! Trees as the kernel shows them, written into temporary folders, and a real group where the machine allows one.

use std::process::{Command, Stdio};

use super::*;

/// A root with these files; its folder goes with it.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("fanfare-cgroup-{}-{name}", std::process::id()));
        let tree = Self(folder);
        let _ = fs::remove_dir_all(&tree.0);
        tree.write("proc/self/status", "Name:\tfanfare\nCpus_allowed_list:\t0-3,8\n");
        files.iter().for_each(|(file, text)| tree.write(file, text));
        tree
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self) -> CgroupLimits {
        read(&self.0)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const ONLY_VERSION_2: &str =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const ONLY_VERSION_1: &str = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
    35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
const SHARED_MOUNT: &str = "32 31 0:29 /kubepods/pod1 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";

#[test]
fn a_quota_of_version_2_is_read() {
    let tree = Tree::new(
        "v2",
        &[
            ("proc/self/mountinfo", ONLY_VERSION_2),
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/cpu.max", "30000 100000\n"),
            ("sys/fs/cgroup/cpu.stat", "usage_usec 5\nnr_throttled 7\nthrottled_usec 1500000\n"),
            ("sys/fs/cgroup/memory.max", "1000000\n"),
            ("sys/fs/cgroup/memory.current", "900000\n"),
            ("sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 400000\nactive_file 7\n"),
        ],
    );
    let limits = tree.read();
    assert_eq!((limits.processors, limits.source), (0.3, QuotaSource::Cgroup2));
    assert_eq!((limits.throttled, limits.memory), (Duration::from_millis(1_500), Some(0.5)));
    assert_eq!(limits.fault, None);
    tree.write("sys/fs/cgroup/cpu.max", "150000 100000\n");
    assert_eq!(tree.read().processors, 1.5, "a quota that changes is read anew");
    tree.write("sys/fs/cgroup/cpu.max", "max 100000\n");
    tree.write("sys/fs/cgroup/memory.max", "max\n");
    let open = tree.read();
    assert_eq!((open.processors, open.source, open.memory), (5.0, QuotaSource::Processors, None));
}

#[test]
fn a_quota_of_version_1_is_read() {
    let tree = Tree::new(
        "v1",
        &[
            ("proc/self/mountinfo", ONLY_VERSION_1),
            ("proc/self/cgroup", "4:memory:/pods/a\n1:cpu,cpuacct:/pods/a\n0::/\n"),
            ("sys/fs/cgroup/cpu,cpuacct/pods/a/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/pods/a/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/pods/a/cpu.stat", "nr_throttled 3\nthrottled_time 2000000\n"),
            ("sys/fs/cgroup/memory/pods/a/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/pods/memory.limit_in_bytes", "1000\n"),
            ("sys/fs/cgroup/memory/pods/memory.usage_in_bytes", "700\n"),
            ("sys/fs/cgroup/memory/pods/memory.stat", "total_inactive_file 100\n"),
        ],
    );
    let limits = tree.read();
    assert_eq!((limits.processors, limits.source), (0.5, QuotaSource::Cgroup1));
    assert_eq!((limits.throttled, limits.memory), (Duration::from_millis(2), Some(0.6)));
    tree.write("sys/fs/cgroup/cpu,cpuacct/pods/a/cpu.cfs_quota_us", "-1\n");
    assert_eq!(tree.read().source, QuotaSource::Processors);
}

#[test]
fn the_tightest_quota_above_counts_and_where_it_holds_back() {
    let tree = Tree::new(
        "nested",
        &[
            ("proc/self/mountinfo", ONLY_VERSION_2),
            ("proc/self/cgroup", "0::/kubepods/pod/main\n"),
            ("sys/fs/cgroup/kubepods/pod/main/cpu.max", "200000 100000\n"),
            ("sys/fs/cgroup/kubepods/pod/main/cpu.stat", "throttled_usec 1\n"),
            ("sys/fs/cgroup/kubepods/pod/cpu.max", "100000 100000\n"),
            ("sys/fs/cgroup/kubepods/pod/cpu.stat", "throttled_usec 7\n"),
            ("sys/fs/cgroup/kubepods/cpu.max", "max 100000\n"),
        ],
    );
    assert_eq!((tree.read().processors, tree.read().throttled), (1.0, Duration::from_micros(7)));
}

#[test]
fn a_container_that_sees_only_its_own_group_finds_it() {
    for (name, membership) in [("host-name", "1:cpu:/kubepods/pod1\n"), ("outside", "1:cpu:/../pod1\n")] {
        let tree = Tree::new(
            name,
            &[
                ("proc/self/mountinfo", SHARED_MOUNT),
                ("proc/self/cgroup", membership),
                ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "25000\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "50000\n"),
            ],
        );
        assert_eq!(tree.read().processors, 0.5, "{membership}");
    }
}

#[test]
fn odd_files_are_told_and_do_no_harm() {
    let odd = ["", "-5 100000", "0 100000", "30000 0", "nonsense", "30000 soon", "\u{fffd}", "NaN 100000"];
    for (number, text) in odd.into_iter().enumerate() {
        let tree = Tree::new(
            &format!("odd{number}"),
            &[
                ("proc/self/mountinfo", ONLY_VERSION_2),
                ("proc/self/cgroup", "0::/\n"),
                ("sys/fs/cgroup/cpu.max", text),
                ("sys/fs/cgroup/memory.max", "0\n"),
            ],
        );
        let limits = tree.read();
        assert_eq!((limits.processors, limits.memory), (5.0, None), "{text:?}");
        assert!(limits.fault.is_some_and(|fault| fault.contains("cpu.max")), "{text:?}");
    }
}

#[test]
fn without_any_file_one_processor_is_assumed() {
    let nothing = read(Path::new("/nowhere"));
    assert_eq!((nothing.processors, nothing.source), (1.0, QuotaSource::Processors));
    assert_eq!((nothing.fault, nothing.memory), (None, None));
    for (name, list) in [("backwards", "4-2"), ("words", "all"), ("void", "")] {
        let tree = Tree::new(name, &[("proc/self/status", &format!("Cpus_allowed_list:\t{list}\n"))]);
        assert_eq!(tree.read().processors, 1.0, "{list}");
    }
}

/// A process in a real group of version 1 with a quota: what `/proc` shows of it is read as it is. Elsewhere the trees
/// above are all there is, and the quota is whatever this machine gives.
#[test]
fn a_real_group_s_quota_is_read() {
    let group = PathBuf::from(format!("/sys/fs/cgroup/cpu/fanfare-test-{}", std::process::id()));
    let set = |file: &str, text: &str| fs::write(group.join(file), text);
    let is_made = fs::create_dir(&group).and_then(|()| set("cpu.cfs_period_us", "100000"));
    if is_made.and_then(|()| set("cpu.cfs_quota_us", "30000")).is_err() {
        let _ = fs::remove_dir(&group);
        assert!(read(Path::new("/")).processors > 0.0);
        return;
    }
    let mut member = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let moved = set("cgroup.procs", &member.id().to_string());
    // The member's own view, put where this process would look for its own.
    let own = PathBuf::from(format!("/proc/{}", member.id()));
    let files = ["mountinfo", "cgroup", "status"].map(|file| fs::read_to_string(own.join(file)).unwrap());
    let tree = Tree::new("real", &[]);
    for (file, text) in ["mountinfo", "cgroup", "status"].iter().zip(&files) {
        tree.write(&format!("proc/self/{file}"), text);
    }
    std::os::unix::fs::symlink("/sys", tree.0.join("sys")).unwrap();
    let limits = tree.read();
    drop(member.stdin.take());
    member.wait().unwrap();
    fs::remove_dir(&group).unwrap();
    moved.unwrap();
    assert_eq!((limits.processors, limits.source), (0.3, QuotaSource::Cgroup1));
}
