//! What this process has used of its limits. sysinfo is known here only.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
    time::Duration,
};

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// What Linux allows a process unless somebody says otherwise.
const USUAL_OPEN_FILES: usize = 1_024;

/// Reads this process's processor time.
///
/// sysinfo keeps the file that it reads open, so that reading goes on when no descriptor is left. At its first reading
/// it raises the process's soft limit of open files to the hard one.
pub(super) struct Process {
    system: System,
    own: Pid,
}

impl Process {
    pub(super) fn new() -> Self {
        Self { system: System::new(), own: Pid::from_u32(std::process::id()) }
    }

    /// The processor time that all threads have used so far; none if the system does not tell.
    pub(super) fn cpu_time(&mut self) -> Option<Duration> {
        let cpu_only = ProcessRefreshKind::nothing().with_cpu().without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[self.own]), true, cpu_only);
        let process = self.system.process(self.own)?;
        Some(Duration::from_millis(process.accumulated_cpu_time()))
    }
}

/// The number of the next descriptor, the lowest that is free; the highest number there is if none is.
pub(super) fn next_descriptor() -> usize {
    let copy = std::io::stderr().as_fd().try_clone_to_owned();
    copy.ok().and_then(|copy| usize::try_from(copy.as_raw_fd()).ok()).unwrap_or(usize::MAX)
}

/// How many descriptors this process may have, below a root, which is `/` but in tests.
pub(super) fn open_files(root: &Path) -> usize {
    let limits = fs::read_to_string(root.join("proc/self/limits")).unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    match line.and_then(|line| line.split_ascii_whitespace().next()) {
        Some("unlimited") => usize::MAX,
        Some(soft) => soft.parse().unwrap_or(USUAL_OPEN_FILES),
        None => USUAL_OPEN_FILES,
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn work_is_seen_as_processor_time() {
        let mut process = Process::new();
        let before = process.cpu_time().unwrap();
        let mut bits = 1_u64;
        // As much work as it takes; the machine may be slow.
        while process.cpu_time().unwrap() < before + Duration::from_millis(50) {
            for _ in 0..1_000_000 {
                bits = black_box(bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            }
        }
        assert_ne!(bits, 0);
    }

    #[test]
    fn the_next_descriptor_is_none_that_is_held() {
        let held: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let next = next_descriptor();
        assert!(held.iter().all(|file| usize::try_from(file.as_raw_fd()) != Ok(next)));
        assert!(next < open_files(Path::new("/")), "{next}");
    }

    #[test]
    fn the_limit_of_open_files_is_read() {
        assert!(open_files(Path::new("/")) > 100);
        assert_eq!(open_files(Path::new("/nowhere")), USUAL_OPEN_FILES);
    }
}
