//! What `/proc` tells: CPU and memory of processes, states of TCP connections, and this process's own limits.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CpuSet, sched_setaffinity},
    time::{ClockId, Timespec, clock_gettime},
};
use serde::Serialize;

/// CPU time and memory of some processes at an instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// User and system time since the start, in microseconds (with the kernel's ticks, 10 ms).
    pub cpu_us: u64,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Resident memory in bytes, shared pages divided among those who share them.
    pub pss_bytes: u64,
}

impl Usage {
    /// The sum over these processes; `None` when there are none, or one of them is gone.
    pub(crate) fn of(pids: &[u32]) -> Option<Self> {
        let mut sum = Self::default();
        for pid in pids {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            sum.cpu_us += ticks_us(&stat)?;
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            sum.rss_bytes += kilobytes(&rollup, "Rss:");
            sum.pss_bytes += kilobytes(&rollup, "Pss:");
        }
        (!pids.is_empty()).then_some(sum)
    }

    /// CPU and resident memory of one process, at little cost; zeros when it is gone.
    pub(crate) fn light(pid: u32) -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let ticks = ticks(&read("stat")).unwrap_or(0);
        let pages = read("statm").split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
        let rss_bytes = pages.unwrap_or(0) * rustix::param::page_size() as u64;
        Self {
            cpu_us: ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1),
            rss_bytes,
            pss_bytes: 0,
        }
    }
}

fn ticks_us(stat: &str) -> Option<u64> {
    Some(ticks(stat)? * 1_000_000 / rustix::param::clock_ticks_per_second().max(1))
}

/// `utime` and `stime` of a `/proc/PID/stat` line (fields 14 and 15 of proc(5); the name may hold spaces).
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut times = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

fn kilobytes(rollup: &str, name: &str) -> u64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// CPU time of this process in microseconds.
pub(crate) fn own_cpu_us() -> u64 {
    clock_us(clock_gettime(ClockId::ProcessCPUTime))
}

/// CPU time of this thread in microseconds.
pub(crate) fn thread_cpu_us() -> u64 {
    clock_us(clock_gettime(ClockId::ThreadCPUTime))
}

/// The machine's monotonic clock in microseconds, the same in every process.
pub(crate) fn monotonic_us() -> u64 {
    clock_us(clock_gettime(ClockId::Monotonic))
}

fn clock_us(time: Timespec) -> u64 {
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * 1_000_000 + part(time.tv_nsec) / 1000
}

/// Raises the limit of open files to what is allowed, and returns it.
pub(crate) fn open_files_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    current.unwrap_or(u64::MAX)
}

/// How many open files another process may have; `None` when it does not tell, or there is no limit.
pub(crate) fn open_files_of(pid: u32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    // Soft and hard; a server may raise its own, so the hard one counts.
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Pins this thread, and those it starts from now on, to a CPU; whether the system let it.
pub fn pin(cpu: u16) -> bool {
    let mut cpus = CpuSet::new();
    if usize::from(cpu) >= CpuSet::MAX_CPU {
        return false;
    }
    cpus.set(usize::from(cpu));
    sched_setaffinity(None, &cpus).is_ok()
}

/// The state of a TCP connection that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TcpState {
    Established,
    Other,
}

/// Every IPv4 connection of this network namespace, by its two ends; `None` where there is no `/proc/net/tcp`.
pub(crate) fn tcp_table() -> Option<HashMap<(SocketAddr, SocketAddr), TcpState>> {
    let text = fs::read_to_string("/proc/net/tcp").ok()?;
    Some(text.lines().skip(1).filter_map(tcp_line).collect())
}

fn tcp_line(line: &str) -> Option<((SocketAddr, SocketAddr), TcpState)> {
    let mut fields = line.split_whitespace().skip(1);
    let ends = (tcp_address(fields.next()?)?, tcp_address(fields.next()?)?);
    let state = if fields.next()? == "01" { TcpState::Established } else { TcpState::Other };
    Some((ends, state))
}

/// `0100007F:1F90`: the address as the machine holds it in memory, the port as a number.
fn tcp_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
    Some(SocketAddr::new(IpAddr::V4(address), u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_reads_itself() {
        let before = own_cpu_us();
        let usage = Usage::of(&[std::process::id()]).unwrap();
        assert!(usage.rss_bytes >= usage.pss_bytes && usage.pss_bytes > 100_000);
        assert!(own_cpu_us() >= before);
        assert_eq!(Usage::of(&[]), None);
        assert_eq!(Usage::of(&[u32::MAX]), None);
    }

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        assert_eq!(ticks("7 (a) b (c)) S 1 7 7 0 -1 4194560 1 0 0 0 120 30 0 0 20 0 1"), Some(150));
        assert_eq!(ticks("nonsense"), None);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_line_of_the_tcp_table_is_read() {
        let line = "   0: 0100007F:1F90 0200007F:A1B2 01 00000000:00000000 00:00000000 00000000 0 0 7 1";
        let ends = ("127.0.0.1:8080".parse().unwrap(), "127.0.0.2:41394".parse().unwrap());
        assert_eq!(tcp_line(line), Some((ends, TcpState::Established)));
    }
}
