//! Before the run: whether the limits of this machine allow it, and how many processes and addresses it takes.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use crate::{base::proc, drive::plan::Plan};

/// Descriptors of a process besides its sockets: files, pipes, a connection that opens before another is closed.
const SPARE_FILES: u64 = 256;
const MAX_PROCESSES: u64 = 64;
/// Of the ports of an address this many hundredths are counted on: others may use some, and closed ones rest.
const USABLE_PORTS: u64 = 80;

/// What this machine allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Open files of a process.
    pub(crate) files: u64,
    /// Ports that the kernel gives to outgoing connections of one address.
    pub(crate) ports: u64,
}

impl Limits {
    pub(crate) fn of_this_machine() -> Self {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        let mut ends = range.split_whitespace().filter_map(|end| end.parse::<u64>().ok());
        let (low, high) = (ends.next().unwrap_or(32_768), ends.next().unwrap_or(60_999));
        Self { files: proc::open_files_limit(), ports: high.saturating_sub(low) + 1 }
    }
}

/// Decides over processes and source addresses.
///
/// # Errors
/// Each limit that is in the way, with what to do about it.
pub(crate) fn prepare(
    plan: Plan,
    addresses: &[SocketAddr],
    limits: Limits,
) -> Result<(Plan, u16), Vec<String>> {
    let mut plan = plan;
    let mut mistakes = Vec::new();
    let processes = processes(&plan, limits).unwrap_or_else(|mistake| {
        mistakes.push(mistake);
        1
    });
    if let Err(mistake) = choose_sources(&mut plan, addresses, limits) {
        mistakes.push(mistake);
    }
    mistakes.extend(pods(&plan));
    if mistakes.is_empty() { Ok((plan, processes)) } else { Err(mistakes) }
}

/// How many processes it takes.
fn processes(plan: &Plan, limits: Limits) -> Result<u16, String> {
    let sockets = u64::from(plan.all_sockets());
    let by_rest = u64::from(plan.rest_connections) * (1 + plan.events.bursts.len() as u64);
    let each = limits.files.saturating_sub(SPARE_FILES + by_rest).max(1);
    let needed = sockets.div_ceil(each).max(1);
    match plan.processes {
        Some(given) if u64::from(given) < needed => Err(format!(
            "open files: {sockets} sockets need {needed} processes of the tester, as one may have {} open files, and \
             --processes is {given}: leave that flag out, or raise `ulimit -n`",
            limits.files
        )),
        Some(given) => Ok(given),
        None if needed > MAX_PROCESSES => Err(format!(
            "open files: {sockets} sockets need {needed} processes of the tester, as one may have {} open files, and \
             {MAX_PROCESSES} is the most: raise `ulimit -n`, or use fewer viewers",
            limits.files
        )),
        None => Ok(u16::try_from(needed).unwrap_or(1)),
    }
}

/// Gives a run on loopback as many source addresses as its ports ask for; elsewhere says that more are needed.
fn choose_sources(plan: &mut Plan, addresses: &[SocketAddr], limits: Limits) -> Result<(), String> {
    let sockets = u64::from(plan.all_sockets());
    let each = (limits.ports * USABLE_PORTS / 100).max(1);
    let needed = sockets.div_ceil(each);
    let on_loopback = addresses.iter().all(|address| address.is_ipv4() && address.ip().is_loopback());
    // Without a source the kernel may use a port once for each target.
    let have = if plan.sources.is_empty() { addresses.len().max(1) } else { plan.sources.len() } as u64;
    if needed <= have {
        return Ok(());
    }
    if plan.sources.is_empty() && on_loopback {
        let spare = u32::try_from(needed).unwrap_or(u32::MAX).min(250);
        plan.sources = (0..spare).map(|number| IpAddr::V4(Ipv4Addr::from(0x7F00_0002 + number))).collect();
        return Ok(());
    }
    Err(format!(
        "ports: {sockets} sockets need {needed} source addresses, as one has {} ports: give them with --sources, or \
         widen net.ipv4.ip_local_port_range",
        limits.ports
    ))
}

/// Servers whose own limit of open files is below the viewers that they would get.
fn pods(plan: &Plan) -> Vec<String> {
    let each = u64::from(plan.all_sockets()).div_ceil(plan.targets.len().max(1) as u64);
    let short = plan.pids.iter().filter_map(|pid| {
        let limit = proc::open_files_of(*pid)?;
        (each + 64 > limit).then(|| {
            format!(
                "open files: the server with pid {pid} may have {limit}, and would get {each} viewers: start more \
                 pods and give each with --url, or raise its `ulimit -n`"
            )
        })
    });
    short.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::args::RunArgs;

    const LIMITS: Limits = Limits { files: 20_000, ports: 28_232 };

    fn prepared(flags: &str, address: &str) -> Result<(Plan, u16), Vec<String>> {
        let args = RunArgs::of_flags(&format!("--url ws://{address} {flags}")).unwrap();
        prepare(args.plan().unwrap(), &[address.parse().unwrap()], LIMITS)
    }

    #[test]
    fn a_small_run_needs_nothing() {
        let (plan, processes) = prepared("--viewers 1000", "127.0.0.1:80").unwrap();
        assert_eq!((plan.sources.len(), processes), (0, 1));
    }

    #[test]
    fn a_large_run_on_loopback_gets_processes_and_addresses() {
        let (plan, processes) = prepared("--viewers 45000", "127.0.0.1:80").unwrap();
        assert_eq!(processes, 3);
        assert_eq!(plan.sources, ["127.0.0.2", "127.0.0.3"].map(|ip| ip.parse::<IpAddr>().unwrap()));
        assert_eq!(prepared("--viewers 45000 --processes 4", "127.0.0.1:80").unwrap().1, 4);
    }

    #[test]
    fn what_is_in_the_way_is_said_with_what_to_do() {
        let mistakes = prepared("--viewers 45000 --processes 2", "10.0.0.1:80").unwrap_err();
        assert_eq!(mistakes.len(), 2, "{mistakes:#?}");
        assert!(mistakes[0].starts_with("open files: 45001 sockets need 3 processes"));
        assert!(mistakes[1].contains("need 2 source addresses") && mistakes[1].contains("--sources"));
        assert_eq!(prepared("--viewers 1000000 --streams 1000000", "127.0.0.1:80").unwrap_err().len(), 1);
    }

    #[test]
    fn a_server_with_too_few_files_is_named() {
        let flags = format!("--viewers 1000000 --pid {}", std::process::id());
        let mistakes = prepared(&flags, "127.0.0.1:80").unwrap_err();
        assert!(mistakes.iter().any(|mistake| mistake.contains("the server with pid")), "{mistakes:#?}");
    }
}
