//! What the kernel lets this process use: processors, and memory, read from cgroups of either version.
//!
//! Sources: the kernel's `Documentation/admin-guide/cgroup-v2.rst` (`cpu.max`, `cpu.stat`, `memory.max`,
//! `memory.current`), `Documentation/scheduler/sched-bwc.rst` (version 1: `cpu.cfs_quota_us`, `cpu.cfs_period_us`,
//! `cpu.stat`), `Documentation/admin-guide/cgroup-v1/memory.rst`, and proc(5) for `/proc/self/mountinfo`, `cgroup` and
//! `status`.
//!
//! A limit holds for a group and all below it, so every group from the process's own up to the mount counts, and the
//! tightest one wins. Files are read anew each time: quotas change, and processes are moved.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;

/// A limit of memory above this is none: version 1 writes the largest multiple of a page instead of a word.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// Where the number of processors comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaSource {
    /// `cpu.max`.
    Cgroup2,
    /// `cpu.cfs_quota_us`.
    Cgroup1,
    /// No quota: the processors that the process may run on.
    Processors,
}

/// What the process may use and what it was denied, at a moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CgroupLimits {
    /// How many processors' time.
    pub(super) processors: f64,
    /// Where that comes from.
    pub(super) source: QuotaSource,
    /// For how long the kernel has held the group back since it was made.
    pub(super) throttled: Duration,
    /// The used share of the tightest limit of memory, without what the kernel can drop at once; none without a limit.
    pub(super) memory: Option<f64>,
    /// The first file that could not be understood.
    pub(super) fault: Option<String>,
}

/// Reads the limits of this process below a root, which is `/` but in tests.
pub(super) fn read(root: &Path) -> CgroupLimits {
    let mut faults = FirstUnreadable::default();
    let mounts = Mounts::read(root);
    let allowed = allowed_processors(root);
    let mut limits = CgroupLimits {
        processors: allowed,
        source: QuotaSource::Processors,
        throttled: Duration::ZERO,
        memory: None,
        fault: None,
    };
    for (version, source) in [(Version::Two, QuotaSource::Cgroup2), (Version::One, QuotaSource::Cgroup1)] {
        for (place, group) in mounts.groups(version, "cpu").iter().enumerate() {
            let quota = quota(version, group, &mut faults).filter(|quota| *quota < limits.processors);
            if let Some(quota) = quota {
                (limits.processors, limits.source) = (quota, source);
            }
            // Who has the quota that counts is held back; without a quota nobody is.
            if quota.is_some() || (place == 0 && limits.source == QuotaSource::Processors) {
                limits.throttled = throttled(version, group);
            }
        }
        for group in mounts.groups(version, "memory") {
            let share = memory_share(version, &group, &mut faults);
            limits.memory = match (limits.memory, share) {
                (Some(one), Some(other)) => Some(f64::max(one, other)),
                (one, other) => one.or(other),
            };
        }
    }
    limits.fault = faults.0;
    limits
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The first file that could not be understood.
#[derive(Default)]
struct FirstUnreadable(Option<String>);

impl FirstUnreadable {
    fn note(&mut self, file: &Path, text: &str) {
        let shown: String = text.trim().chars().take(40).collect();
        self.0.get_or_insert_with(|| format!("{}: {shown:?}", file.display()));
    }

    /// The file's value as `parse` understands it; an absent file has none, and that is no fault.
    fn value<T>(&mut self, file: &Path, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = fs::read_to_string(file).ok()?;
        let value = parse(text.trim());
        if value.is_none() {
            self.note(file, &text);
        }
        value
    }
}

/// Where cgroups are mounted, and in which of them this process is.
struct Mounts {
    root: PathBuf,
    mountinfo: String,
    membership: String,
}

impl Mounts {
    fn read(root: &Path) -> Self {
        let text = |file: &str| fs::read_to_string(root.join(file)).unwrap_or_default();
        Self {
            root: root.to_owned(),
            mountinfo: text("proc/self/mountinfo"),
            membership: text("proc/self/cgroup"),
        }
    }

    /// The groups of a controller that this process is in: its own first, then those above.
    fn groups(&self, version: Version, controller: &str) -> Vec<PathBuf> {
        let Some((mounted_root, point)) = self.mount(version, controller) else { return Vec::new() };
        let base = self.root.join(point.trim_start_matches('/'));
        let path = self.path(version, controller).unwrap_or("/");
        // A container that sees only its own group may be told the host's name for it.
        let inside = path.strip_prefix(mounted_root).unwrap_or(path).trim_start_matches('/');
        let is_inside = !inside.split('/').any(|part| part == "..") && base.join(inside).is_dir();
        let own = if is_inside { base.join(inside) } else { base.clone() };
        own.ancestors().take_while(|group| group.starts_with(&base)).map(Path::to_owned).collect()
    }

    /// The root of the mount within the hierarchy, and where it is mounted.
    fn mount(&self, version: Version, controller: &str) -> Option<(&str, &str)> {
        self.mountinfo.lines().find_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut right = right.split(' ');
            let (kind, options) = (right.next()?, right.nth(1)?);
            let fits = match version {
                Version::Two => kind == "cgroup2",
                Version::One => kind == "cgroup" && options.split(',').any(|option| option == controller),
            };
            let mut left = left.split(' ').skip(3);
            fits.then_some((left.next()?, left.next()?))
        })
    }

    fn path(&self, version: Version, controller: &str) -> Option<&str> {
        self.membership.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let fits = match version {
                Version::Two => number == "0" && controllers.is_empty(),
                Version::One => controllers.split(',').any(|each| each == controller),
            };
            fits.then_some(path)
        })
    }
}

/// How many processors a group may use; none without a limit.
fn quota(version: Version, group: &Path, faults: &mut FirstUnreadable) -> Option<f64> {
    let ratio = |quota: f64, period: f64| (quota > 0.0 && period > 0.0).then_some(Some(quota / period));
    match version {
        Version::Two => faults.value(&group.join("cpu.max"), |text| {
            let mut words = text.split_ascii_whitespace();
            match (words.next()?, words.next().map_or(Some(100_000.0), |period| period.parse().ok())?) {
                ("max", _) => Some(None),
                (quota, period) => ratio(quota.parse().ok()?, period),
            }
        })?,
        Version::One => {
            let period = faults.value(&group.join("cpu.cfs_period_us"), |text| text.parse::<f64>().ok())?;
            faults.value(&group.join("cpu.cfs_quota_us"), |text| match text.parse::<f64>().ok()? {
                none if none < 0.0 => Some(None),
                quota => ratio(quota, period),
            })?
        }
    }
}

fn throttled(version: Version, group: &Path) -> Duration {
    let stat = fs::read_to_string(group.join("cpu.stat")).unwrap_or_default();
    match version {
        Version::Two => Duration::from_micros(field(&stat, "throttled_usec").unwrap_or(0)),
        Version::One => Duration::from_nanos(field(&stat, "throttled_time").unwrap_or(0)),
    }
}

/// The share of a group's limit of memory that is in use; what lies in inactive pages of files can be dropped at once.
fn memory_share(version: Version, group: &Path, faults: &mut FirstUnreadable) -> Option<f64> {
    let (limit, used, droppable) = match version {
        Version::Two => ("memory.max", "memory.current", "inactive_file"),
        Version::One => ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    };
    let limit = faults.value(&group.join(limit), |text| match text {
        "max" => Some(u64::MAX),
        bytes => bytes.parse().ok(),
    })?;
    if limit == 0 || limit >= NO_LIMIT_BYTES {
        return None;
    }
    let used = faults.value(&group.join(used), |text| text.parse::<u64>().ok())?;
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let kept = used.saturating_sub(field(&stat, droppable).unwrap_or(0));
    Some(kept as f64 / limit as f64)
}

fn field(stat: &str, name: &str) -> Option<u64> {
    let mut lines = stat.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(known, _)| *known == name)?.1.trim().parse().ok()
}

/// How many processors the process may run on.
fn allowed_processors(root: &Path) -> f64 {
    let status = fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let count = list.and_then(|list| list.trim().split(',').map(processors_of).sum::<Option<u32>>());
    f64::from(count.filter(|count| *count > 0).unwrap_or(1))
}

/// How many processors `3` or `0-7` names.
fn processors_of(range: &str) -> Option<u32> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
    last.checked_sub(first)?.checked_add(1)
}

#[cfg(test)]
mod tests;
