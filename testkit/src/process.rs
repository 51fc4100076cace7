//! What a process may use, and what it has used.

use std::{
    fs,
    process::{Command, Stdio},
};

/// Where the pod runs.
pub const POD_CPU: u32 = 0;
/// Where the Redis processes run.
pub const REDIS_CPU: u32 = 1;

/// Ticks of the kernel's accounting in a second, the same on every Linux that we know.
const TICKS_PER_SECOND: f64 = 100.0;

/// Pins all threads of a process to a CPU. Returns whether that worked.
pub fn pin(pid: u32, cpu: u32) -> bool {
    let args = ["-a", "-c", "-p", &cpu.to_string(), &pid.to_string()];
    let status = Command::new("taskset").args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Seconds of CPU that a process has used, in user and kernel (proc(5): fields 14 and 15 of `stat`).
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in parentheses may hold spaces; after it comes field 3.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<f64>().unwrap());
    ticks.sum::<f64>() / TICKS_PER_SECOND
}
