//! A run that makes sense: what the flags say, checked, with every mistake named at once.

use std::{collections::BTreeSet, fmt, net::IpAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    args::{RunArgs, TOLERABLE},
    events::Events,
};
use crate::{
    base::proc,
    check::slo::Slo,
    protocol::{
        mark::{MARK_BYTES, PostId},
        tls,
        tls::Tls,
    },
};

/// The longest body that the protocol takes, in ASCII.
const MAX_BODY_BYTES: u16 = 500;

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// `host:port`, for name resolution and the `Host` header.
    pub(crate) authority: String,
    /// What stands before `/v1`, without a trailing slash.
    pub(crate) prefix: String,
    /// Connections to it are encrypted.
    pub(crate) tls: bool,
}

impl Target {
    fn parse(url: &str, flag: &str) -> Result<Self, String> {
        let (tls, rest) = match url.split_once("://") {
            Some(("ws" | "http", rest)) => (false, rest),
            Some(("wss" | "https", rest)) => (true, rest),
            _ => return Err(format!("{flag} {url}: expected ws://, wss://, http:// or https://host:port")),
        };
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = url.bytes().all(|byte| byte.is_ascii_graphic()) && !url.contains(['?', '#', '@']);
        let port =
            authority.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        match port {
            Some((host, 1..)) if plain && !host.is_empty() => {}
            _ => return Err(format!("{flag} {url}: a host and a port are needed, and no query")),
        }
        if tls && tls::server_name(authority).is_none() {
            return Err(format!("{flag} {url}: the host is no name that a certificate can have"));
        }
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        Ok(Self { authority: authority.to_owned(), prefix, tls })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "wss://" } else { "" };
        write!(f, "{scheme}{}", self.authority)
    }
}

fn has_tls(servers: [&Vec<Target>; 3]) -> bool {
    servers.into_iter().flatten().any(|server| server.tls)
}

/// How comments are posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Posting {
    WebSocket { posters: u32 },
    Rest,
}

/// A checked run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    pub(crate) name: String,
    pub(crate) events: Events,
    pub(crate) slo: Slo,
    pub(crate) targets: Vec<Target>,
    /// The pods' ops listeners.
    pub(crate) ops: Vec<Target>,
    /// Where REST posts go; none: to the targets.
    pub(crate) rest_targets: Vec<Target>,
    /// The file with the roots to trust; `None`: those of this system.
    pub(crate) ca: Option<PathBuf>,
    /// Distinguishes the run's streams and posts from those of others; `None`: anything.
    pub(crate) run: Option<u32>,
    pub(crate) viewers: u32,
    pub(crate) streams: u32,
    pub(crate) watched: u32,
    pub(crate) rate: f64,
    pub(crate) seconds: f64,
    pub(crate) body_bytes: usize,
    pub(crate) stuck: u32,
    pub(crate) resumers: u32,
    pub(crate) resume_times: u32,
    pub(crate) posting: Posting,
    pub(crate) rest_connections: u32,
    pub(crate) gifts_per_second: f64,
    pub(crate) reconnect: bool,
    pub(crate) sources: Vec<IpAddr>,
    pub(crate) pids: Vec<u32>,
    pub(crate) redis_pids: Vec<u32>,
    /// `None`: as many as needed.
    pub(crate) processes: Option<u16>,
    pub(crate) threads: u16,
    pub(crate) cpu: Option<u16>,
    pub(crate) window: Duration,
    pub(crate) idle: Duration,
    pub(crate) handshake: Duration,
    pub(crate) joins: Duration,
    pub(crate) in_flight: u32,
    pub(crate) request: Duration,
    pub(crate) tolerate: BTreeSet<String>,
    /// Further header lines, each ended by CR LF.
    pub(crate) headers: String,
    pub(crate) stream_prefix: String,
    /// The program that several processes are started of; `None`: this one.
    pub program: Option<PathBuf>,
    /// Where the report goes as JSON.
    pub json: Option<PathBuf>,
    /// Where it goes as a page.
    pub html: Option<PathBuf>,
    /// The folder where both go, named by date and scenario.
    pub reports: Option<PathBuf>,
}

impl RunArgs {
    /// Checks the flags.
    ///
    /// # Errors
    /// One sentence for each mistake.
    pub fn plan(self) -> Result<Plan, Vec<String>> {
        let ([targets, rest_targets, ops], wrong) = self.servers();
        let mistakes: Vec<_> = self.mistakes().into_iter().chain(wrong).collect();
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let posting = match (self.rest, self.rate > 0.0) {
            (true, _) | (_, false) => Posting::Rest,
            _ => Posting::WebSocket { posters: self.posters },
        };
        let (machine, time) = (self.machine, self.time);
        Ok(Plan {
            name: self.name,
            events: self.events,
            slo: Slo::of(&self.slo),
            targets,
            rest_targets,
            ops,
            ca: self.ca,
            run: None,
            viewers: self.viewers,
            streams: self.streams,
            watched: self.watched.unwrap_or(self.streams),
            rate: self.rate,
            seconds: self.seconds,
            body_bytes: usize::from(self.body_bytes),
            stuck: self.stuck,
            resumers: self.resumers,
            resume_times: self.resume_times,
            posting,
            rest_connections: self.rest_connections,
            gifts_per_second: self.gifts_per_second,
            reconnect: self.reconnect,
            sources: machine.sources,
            pids: machine.pid,
            redis_pids: machine.redis_pid,
            processes: machine.processes,
            threads: machine.threads,
            cpu: machine.cpu,
            window: Duration::from_millis(time.window_ms),
            idle: Duration::from_millis(time.idle_ms),
            handshake: Duration::from_millis(time.handshake_ms),
            joins: Duration::from_millis(time.joins_ms),
            in_flight: time.in_flight,
            request: Duration::from_millis(time.request_ms),
            tolerate: self.tolerate.into_iter().collect(),
            headers: self.header.iter().map(|line| format!("{line}\r\n")).collect(),
            stream_prefix: self.stream_prefix,
            program: None,
            json: self.json,
            html: self.html,
            reports: self.reports,
        })
    }

    /// The servers of `--url`, `--rest-url` and `--ops`, and what is wrong with them.
    fn servers(&self) -> ([Vec<Target>; 3], Vec<String>) {
        let mut mistakes = Vec::new();
        let flags = [(&self.url, "--url"), (&self.rest_url, "--rest-url"), (&self.ops, "--ops")];
        let servers = flags.map(|(urls, flag)| {
            let (found, wrong): (Vec<_>, Vec<_>) =
                urls.iter().map(|url| Target::parse(url, flag)).partition(Result::is_ok);
            mistakes.extend(wrong.into_iter().filter_map(Result::err));
            found.into_iter().filter_map(Result::ok).collect::<Vec<_>>()
        });
        if self.ca.is_some() && !has_tls(servers.each_ref()) {
            mistakes.push("--ca: expected a wss:// or https:// URL beside it".to_owned());
        }
        (servers, mistakes)
    }

    fn mistakes(&self) -> Vec<String> {
        let posts = self.rate.max(self.gifts_per_second) * self.seconds;
        let in_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let header = |line: &String| line.contains(':') && !line.contains(['\r', '\n']);
        let share = |share: f64| (0.0..=1.0).contains(&share);
        let shortest = u16::try_from(MARK_BYTES).unwrap_or(MAX_BODY_BYTES);
        let rules = [
            ((1..=1_000_000).contains(&self.streams), "--streams: 1 to 1,000,000"),
            (self.viewers <= 1_000_000, "--viewers: at most 1,000,000"),
            (
                self.watched.is_none_or(|watched| (1..=self.streams).contains(&watched)),
                "--watched: 1 to --streams",
            ),
            (self.rate.is_finite() && self.rate >= 0.0, "--rate: 0 or more"),
            (
                self.gifts_per_second.is_finite() && self.gifts_per_second >= 0.0,
                "--gifts-per-second: 0 or more",
            ),
            (
                self.seconds.is_finite() && (0.1..=86_400.0).contains(&self.seconds),
                "--seconds: 0.1 to 86,400",
            ),
            (posts < f64::from(PostId::MAX), "--rate times --seconds: at most 2^30 posts a stream"),
            ((shortest..=MAX_BODY_BYTES).contains(&self.body_bytes), "--body-bytes: 44 to 500"),
            ((1..=1000).contains(&self.posters), "--posters: 1 to 1,000"),
            ((1..=10_000).contains(&self.rest_connections), "--rest-connections: 1 to 10,000"),
            ((1..=1000).contains(&self.resume_times), "--resume-times: 1 to 1,000"),
            ((1..=64).contains(&self.machine.threads), "--threads: 1 to 64"),
            (self.machine.processes.is_none_or(|count| (1..=64).contains(&count)), "--processes: 1 to 64"),
            (share(self.slo.slo_deliver_share), "--slo-deliver-share: 0 to 1"),
            (share(self.slo.slo_join_share), "--slo-join-share: 0 to 1"),
            ((1..=100_000).contains(&self.time.in_flight), "--in-flight: 1 to 100,000"),
            (self.time.handshake_ms > 0 && self.time.joins_ms > 0, "--handshake-ms, --joins-ms: more than 0"),
            (self.time.request_ms > 0, "--request-ms: more than 0"),
            (self.tolerate.iter().all(|what| TOLERABLE.contains(&what.as_str())), "--tolerate: see --help"),
            (self.header.iter().all(header), "--header: `Name: value`"),
            (
                self.stream_prefix.len() <= 40 && self.stream_prefix.bytes().all(in_name),
                "--stream-prefix: at most 40 of A-Z a-z 0-9 _ -",
            ),
        ];
        let broken = rules.iter().filter(|(holds, _)| !holds).map(|(_, rule)| (*rule).to_owned());
        broken.chain(self.events.mistakes(self.seconds)).collect()
    }
}

impl Plan {
    /// Posters that are viewers, too.
    pub(crate) fn posters(&self) -> u32 {
        match self.posting {
            Posting::WebSocket { posters } => posters * self.streams,
            Posting::Rest => 0,
        }
    }

    /// Sockets that are there before the posting and stay in their stream: viewers, posters, resumers.
    pub(crate) fn checked_sockets(&self) -> u32 {
        self.viewers + self.posters() + self.resumers
    }

    /// Viewers that come while others post.
    pub(crate) fn late_viewers(&self) -> u32 {
        u32::try_from(self.events.arrivals_us(self.seconds).len()).unwrap_or(u32::MAX)
    }

    /// All sockets to the targets that may be open at once, those of REST left out.
    pub(crate) fn all_sockets(&self) -> u32 {
        let churn = self.events.churn.map_or(0, |churn| churn.viewers);
        let slow = self.events.slow.map_or(0, |slow| slow.viewers);
        [self.checked_sockets(), churn, slow, self.late_viewers(), self.stuck]
            .into_iter()
            .fold(0, u32::saturating_add)
    }

    /// What the watched processes are called, servers first.
    pub(crate) fn watched_names(&self) -> Vec<String> {
        let name = |what: &str, number: usize, pid: &u32| format!("{what} {} (pid {pid})", number + 1);
        let pods = self.pids.iter().enumerate().map(|(number, pid)| name("pod", number, pid));
        let redis = self.redis_pids.iter().enumerate().map(|(number, pid)| name("Redis", number, pid));
        pods.chain(redis).collect()
    }

    /// Makes what connections with TLS need; `None` if no server of the run is behind it.
    ///
    /// # Errors
    /// Why there is no root to trust, in one sentence.
    pub(crate) fn tls(&self) -> Result<Option<Tls>, String> {
        if has_tls([&self.targets, &self.rest_targets, &self.ops]) {
            return Tls::trusting(self.ca.as_deref()).map(Some);
        }
        Ok(None)
    }

    /// Whether gifts are posted, which goes through REST.
    pub(crate) fn has_gifts(&self) -> bool {
        self.gifts_per_second > 0.0 || !self.events.bursts.is_empty()
    }

    /// How long is posted.
    pub(crate) fn posting_time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// Names the run, so that its streams are known before it begins.
    pub(crate) fn name(&mut self, run: u32) {
        self.run = Some(run);
    }

    /// What a stream of a run is called.
    pub(crate) fn stream_name(&self, run: u32, stream: u32) -> String {
        format!("{}-{run:08x}-{stream}", self.stream_prefix)
    }

    /// Pins this process if that is wanted, and tells how many threads to work with.
    pub fn prepare_threads(&self) -> usize {
        // Where the system does not let it the run is only a little less steady.
        self.cpu.map(proc::pin);
        usize::from(self.threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(flags: &str) -> Result<Plan, Vec<String>> {
        RunArgs::of_flags(flags).unwrap().plan()
    }

    #[test]
    fn flags_make_a_plan() {
        let plan =
            plan("--url ws://127.0.0.1:8080/chat/ --viewers 10 --streams 2 --resumers 3 --stuck 1").unwrap();
        let target = Target { authority: "127.0.0.1:8080".into(), prefix: "/chat".into(), tls: false };
        assert_eq!(plan.targets[0], target);
        assert!(plan.tls().unwrap().is_none());
        assert_eq!(plan.posting, Posting::WebSocket { posters: 1 });
        assert_eq!(plan.checked_sockets(), 15);
    }

    #[test]
    fn the_scheme_says_whether_a_target_is_behind_tls() {
        let plan =
            plan("--url http://a:1 --url wss://b:2/x --rest-url https://c:3 --ops https://d:4").unwrap();
        let tls = |targets: &[Target]| targets.iter().map(|target| target.tls).collect::<Vec<_>>();
        assert_eq!(tls(&plan.targets), [false, true]);
        assert_eq!((tls(&plan.rest_targets), tls(&plan.ops)), (vec![true], vec![true]));
    }

    #[test]
    fn all_mistakes_are_named_at_once() {
        let mistakes = plan(
            "--url http://x --url ftp://x:1 --url wss://_*:1 --ops http://x --ca x --url ws://nowhere --url ws://a:1?b --rest-url nowhere --streams 0 --rate=-1 --body-bytes 3 --tolerate loss",
        );
        let mistakes = mistakes.unwrap_err();
        assert_eq!(mistakes.len(), 12, "{mistakes:#?}");
    }
}
