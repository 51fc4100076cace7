//! Pods and shards that the tester starts: what is wrong is told, and nothing is left running.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, ToSocketAddrs},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use testkit::{PATIENCE, binary};

/// A busy machine is no fault of the pods.
const SHAPE: &str =
    "--viewers 12 --streams 3 --rate 5 --seconds 1 --idle-ms 300 --slo-deliver-ms 60000 --slo-join-ms 60000";

pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_loadtest"))
}

/// A tester whose servers write below a folder of its own, by which they are known.
struct Tester {
    folder: PathBuf,
}

impl Tester {
    fn new(test: &str) -> Self {
        // A pod that is not built is told before anything else.
        binary();
        let folder = std::env::temp_dir().join(format!("local-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    fn command(&self, flags: &str) -> Command {
        let mut command = Command::new(program());
        command.args(flags.split_whitespace()).env("TMPDIR", &self.folder).stdin(Stdio::null());
        command
    }

    fn output(&self, flags: &str) -> Output {
        self.command(flags).output().unwrap()
    }

    /// Starts a run, and waits until all its viewers have joined, also as it sees them: then it posts.
    fn start(&self, flags: &str, viewers: u64) -> Child {
        let complaints = fs::File::create(self.complaints()).unwrap();
        let child = self.command(flags).stdout(Stdio::null()).stderr(complaints).spawn().unwrap();
        until("all have joined", || self.viewers() == viewers);
        until("posts come", || self.posted());
        child
    }

    /// Viewers on all pods, as these say.
    fn viewers(&self) -> u64 {
        let viewers = |ops: String| {
            serde_json::from_str::<Value>(&get(ops, "/ready")).unwrap()["viewers"].as_u64().unwrap()
        };
        self.pods().into_iter().map(viewers).sum()
    }

    /// Whether a pod took a post.
    fn posted(&self) -> bool {
        let taken = |line: &str| line.starts_with("fanfare_posts_total{") && !line.ends_with(" 0");
        self.pods().iter().any(|ops| get(ops.as_str(), "/metrics").lines().any(taken))
    }

    /// The addresses for probes of all pods.
    fn pods(&self) -> Vec<String> {
        let said = self.said();
        let probes = said.lines().filter(|line| line.starts_with("pod-"));
        probes
            .filter_map(|line| Some(line.rsplit_once("http://")?.1.strip_suffix("/ready")?.to_owned()))
            .collect()
    }

    fn complaints(&self) -> PathBuf {
        self.folder.join("tester.err")
    }

    /// What the tester said on standard error.
    fn said(&self) -> String {
        fs::read_to_string(self.complaints()).unwrap()
    }

    /// How a tester ends.
    fn end(&self, mut running: Child) -> Option<i32> {
        let mut status = None;
        until("the tester ends", || {
            status = running.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }

    /// No server runs.
    fn left_nothing(&self) {
        assert!(self.servers().is_empty(), "{:?} are left running", self.servers());
    }

    /// The ids of processes that write below the folder.
    fn servers(&self) -> Vec<u32> {
        let writes_here = |pid: u32| {
            let said = fs::read_link(format!("/proc/{pid}/fd/1"));
            said.is_ok_and(|said| said.starts_with(&self.folder))
        };
        let processes = fs::read_dir("/proc").unwrap().map_while(Result::ok);
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| writes_here(*pid)).collect()
    }

    /// The id of the server with this name.
    fn server(&self, name: &str) -> u32 {
        let named = |pid: &u32| {
            let said = fs::read_link(format!("/proc/{pid}/fd/1")).unwrap_or_default();
            said.file_stem().is_some_and(|stem| stem == name)
        };
        self.servers().into_iter().find(named).unwrap()
    }
}

impl Drop for Tester {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// What a pod answers.
pub(crate) fn get(ops: impl ToSocketAddrs, path: &str) -> String {
    let mut socket = TcpStream::connect(ops).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "{pid} is gone");
}

/// The run spans pods and shards, each has its row, and all are gone at the end.
#[test]
fn a_fleet_is_started_measured_and_ended() {
    let tester = Tester::new("fleet");
    let json = tester.folder.join("report.json");
    let output = tester.output(&format!("local --pods 2 --shards 3 {SHAPE} --json {}", json.display()));
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for name in ["pod-1", "pod-2", "redis-a", "redis-b", "redis-c", "every promise held"] {
        assert!(text.contains(name), "{name} is missing in\n{text}");
    }
    let report: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    // Three streams with viewers on both pods, five posts each: every pod hears every post once.
    for pod in report["pods"].as_array().unwrap() {
        assert_eq!((&pod["received"], &pod["unwatched"]), (&15.into(), &0.into()), "{pod}");
    }
    let builds: Vec<_> =
        report["run"]["meta"]["pods"].as_array().unwrap().iter().map(|pod| pod.as_str().unwrap()).collect();
    let build = format!("pod-1 {} ({})", env!("CARGO_PKG_VERSION"), env!("BUILD_COMMIT"));
    assert_eq!((builds.len(), builds[0]), (2, build.as_str()), "the pods tell their builds");
    let calls: u64 =
        report["shards"].as_array().unwrap().iter().filter_map(|shard| shard["calls"].as_u64()).sum();
    assert!(calls >= 15, "{report}");
    assert!(report["pods"][1]["rss_end_bytes"].as_u64().unwrap() > 1_000_000, "{report}");
    tester.left_nothing();
}

/// The posts may come in by a pod of their own, which holds no viewer and so hears nothing.
#[test]
fn a_pod_of_its_own_takes_the_posts() {
    let tester = Tester::new("poster");
    let json = tester.folder.join("report.json");
    let output = tester.output(&format!("local --posting-pod {SHAPE} --rest --json {}", json.display()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!((&report["pods"][0]["received"], &report["poster"][0]["received"]), (&15.into(), &0.into()));
}

#[test]
fn one_pod_works_on_its_embedded_shard() {
    let tester = Tester::new("embedded");
    let output = tester.output(&format!("local --shards 0 --redis absent {SHAPE}"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("redis-a"));
}

#[test]
fn what_is_absent_or_senseless_is_told_before_anything_is_started() {
    let tester = Tester::new("absent");
    for (flags, told) in [
        ("--pod /nowhere/fanfare", "there is no program /nowhere/fanfare"),
        ("--redis no-such-redis", "there is no program no-such-redis: install Redis"),
        ("--shards 0 --pods 2", "know nothing of each other"),
        ("--streams 0", "--streams"),
        ("--url ws://127.0.0.1:1", "--url"),
        ("--set LISTEN=1", "FANFARE_NAME=VALUE"),
    ] {
        let output = tester.output(&format!("local {flags}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags}: {said}");
        assert!(said.contains(told), "{flags}: {said}");
    }
}

#[test]
fn a_program_that_ends_at_once_is_told_with_its_words() {
    let tester = Tester::new("ends");
    let text = tester.folder.join("no-program");
    fs::write(&text, "").unwrap();
    let text = format!("--pod {}", text.display());
    for (flags, told) in [
        ("--pod /bin/false", "pod-1 did not start: it ended with exit code 1"),
        ("--redis /bin/false", "redis-a did not start: it ended with exit code 1"),
        ("--set FANFARE_LINGER=soon", "FANFARE_LINGER: \"soon\" is not a time"),
        (&text, "ermission denied"),
    ] {
        let output = tester.output(&format!("local {SHAPE} {flags}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags}: {said}");
        assert!(said.contains(told), "{flags}: {said}");
        tester.left_nothing();
    }
}

#[test]
fn a_port_that_is_taken_is_told() {
    let tester = Tester::new("port");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (flag, name) in [("--pod-port", "pod-1"), ("--redis-port", "redis-a")] {
        let output = tester.output(&format!("local {SHAPE} {flag} {port}"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{flag}: {said}");
        let told = said.contains(&format!("{name} did not start")) && said.contains("ddress");
        assert!(told && said.contains("in use"), "{flag}: {said}");
        tester.left_nothing();
    }
}

/// The viewers of the pod that died are lost, which the report says; the run goes on to its end.
#[test]
fn a_pod_that_dies_in_the_run_is_told_and_nothing_is_left() {
    let tester = Tester::new("dies");
    let json = tester.folder.join("report.json");
    let flags = "local --pods 2 --viewers 8 --rate 5 --seconds 3 --rest --window-ms 500";
    let running = tester.start(&format!("{flags} --json {}", json.display()), 8);
    signal(tester.server("pod-2"), "KILL");
    assert_eq!(tester.end(running), Some(1), "{}", tester.said());
    assert!(tester.said().contains("pod-2 died: it was ended by signal 9"), "{}", tester.said());
    let report: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!((&report["ok"], &report["run"]["violations"]["dropped"]), (&false.into(), &4.into()));
    assert!(report["pods"][1]["died"].as_str().unwrap().starts_with("was ended by signal 9"), "{report}");
    tester.left_nothing();
}

/// An A/B of two equal programs would compare nothing.
#[test]
fn a_pod_that_does_not_hear_everything_is_told_and_nothing_is_left() {
    let tester = Tester::new("deaf");
    let flags = "ab --pods 1 --streams 4 --watched 2 --viewers 4 --rate 5 --seconds 1 --rounds 1";
    let output = tester.output(&format!("{flags} --hearing-pod {}", binary().display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("pod-1 hears 0 of 4 streams: is it built with"), "{said}");
    tester.left_nothing();
}

#[test]
fn a_senseless_comparison_or_ladder_is_told_before_anything_is_started() {
    let tester = Tester::new("senseless");
    for (flags, told) in [
        ("ab --streams 10 --watched 10", "--watched: fewer than --streams"),
        ("ab --viewers 39", "--viewers: at least one for each watched stream on each pod"),
        ("ab --shards 0", "--shards: 1 or more"),
        ("ab --rate=-1", "--rate"),
        ("ab --pod /nowhere/fanfare", "there is no program /nowhere/fanfare"),
        ("ab --hearing-pod /nowhere/fanfare", "there is no program /nowhere/fanfare"),
        ("capacity --viewers 20 --most 10", "--viewers: at most --most"),
        ("capacity --redis no-such-redis", "there is no program no-such-redis"),
        ("capacity --shards 0", "--shards: 1 or more"),
    ] {
        let output = tester.output(flags);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags}: {said}");
        assert!(said.contains(told), "{flags}: {said}");
        tester.left_nothing();
    }
}

/// Viewers are added up to the most that was asked for; an objective that cannot hold breaks at the first step, and
/// that is told.
#[test]
fn capacity_adds_viewers_until_the_objective_breaks() {
    let tester = Tester::new("capacity");
    let json = tester.folder.join("report.json");
    let flags = "capacity --viewers 8 --most 20 --streams 2 --rate 5 --seconds 1 --small-rounds 0";
    let output = tester.output(&format!("{flags} --slo-ms 10000 --json {}", json.display()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let viewers: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| &step["viewers"]).collect();
    assert_eq!((viewers, &report["limit"]), (vec![&8.into(), &16.into(), &20.into()], &"NotReached".into()));
    let output = tester.output(&format!("{flags} --slo-ms 0"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("p99 over 0 ms") && text.contains("The objective held at no step"), "{text}");
    tester.left_nothing();
}

/// Ctrl-C, and the signals of a supervisor and of a terminal that closes.
#[test]
fn a_signal_ends_everything() {
    let tester = Tester::new("signal");
    for name in ["INT", "TERM", "HUP"] {
        let running = tester.start("local --pods 2 --viewers 7 --seconds 600", 8);
        signal(running.id(), name);
        assert_eq!(tester.end(running), Some(2), "{name}: {}", tester.said());
        assert!(tester.said().contains("interrupted"), "{name}: {}", tester.said());
        tester.left_nothing();
    }
}

/// A tester that is killed cannot end its servers itself.
#[test]
fn a_tester_that_is_killed_leaves_nothing_running() {
    let tester = Tester::new("killed");
    let mut running = tester.start("local --pods 2 --viewers 7 --seconds 600", 8);
    assert!(!tester.servers().is_empty());
    running.kill().unwrap();
    running.wait().unwrap();
    until("the servers end", || tester.servers().is_empty());
}
