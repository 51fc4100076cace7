//! A pod: the real binary in a process of its own.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak, mpsc},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    Answer, Authority, PATIENCE, RedisServer, binary, eventually,
    wire::{http, private},
};

/// How long a pod may take to say where it listens.
const START: Duration = Duration::from_secs(60);

/// A pod that runs. Dropping it ends its process.
pub struct Pod {
    child: Mutex<Child>,
    /// The process's id.
    pub pid: u32,
    /// Where viewers and backends connect.
    pub public: SocketAddr,
    /// Where probes connect.
    pub ops: SocketAddr,
    log: Log,
    /// A Redis that ends with the pod.
    shard: Option<RedisServer>,
    /// Who vouches for the pod, if it speaks TLS.
    authority: Option<Authority>,
}

/// A pod that tests share. It ends with the last test that uses it.
pub(super) struct Shared(Mutex<Weak<Pod>>);

impl Shared {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    /// The pod, which is started if nobody uses it.
    pub(super) fn or_start(&self, start: impl FnOnce() -> Pod) -> Arc<Pod> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let pod = Arc::new(start());
            *shared = Arc::downgrade(&pod);
            pod
        })
    }
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it said on standard error.
    pub said: String,
}

/// A signal to a pod.
#[derive(Debug, Clone, Copy)]
pub enum Signal {
    /// SIGTERM.
    Term,
    /// SIGINT.
    Int,
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Cont,
}

/// Lines that a process wrote, as they come.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn follow(source: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let lines = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                lines.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        log
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Pod {
    /// The pod with default settings that tests share.
    pub fn shared() -> Arc<Self> {
        static SHARED: Shared = Shared::new();
        SHARED.or_start(|| Self::start(&[]))
    }

    /// Starts a pod on free ports, with these settings besides.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::try_start(settings).unwrap_or_else(|ended| panic!("the pod did not start: {ended:?}"))
    }

    /// Starts a pod that speaks TLS, as every client of the tests then does with it.
    pub fn start_private(settings: &[(&str, &str)]) -> Self {
        Self::made_private(Self::start, settings)
    }

    /// Starts one through a shell, as [`Self::start_after`] does.
    pub fn start_private_after(script: &str, settings: &[(&str, &str)]) -> Self {
        Self::made_private(|settings| Self::start_after(script, settings), settings)
    }

    fn made_private(start: impl FnOnce(&[(&str, &str)]) -> Self, settings: &[(&str, &str)]) -> Self {
        let authority = Authority::create();
        let (certificate, key) = (authority.file("server.pem"), authority.file("server.key"));
        let files = [("FANFARE_TLS_CERT", certificate.as_str()), ("FANFARE_TLS_KEY", key.as_str())];
        let mut pod = start(&[settings, &files].concat());
        private::speak_tls(pod.public, &authority);
        pod.authority = Some(authority);
        pod
    }

    /// Who vouches for a pod that speaks TLS.
    pub fn authority(&self) -> &Authority {
        self.authority.as_ref().expect("a pod that speaks TLS")
    }

    /// How clients that are not ours reach it, or a relay to it: such as `wss://127.0.0.1:8443`.
    pub fn url_at(&self, address: SocketAddr) -> String {
        format!("{}://{address}", if self.authority.is_some() { "wss" } else { "ws" })
    }

    /// Starts a pod, or tells how it ended before it listened.
    pub fn try_start(settings: &[(&str, &str)]) -> Result<Self, Ended> {
        Self::try_launch(Command::new(binary()), settings)
    }

    /// Starts a pod of another build.
    pub fn start_build(program: &str, settings: &[(&str, &str)]) -> Self {
        Self::try_launch(Command::new(program), settings)
            .unwrap_or_else(|ended| panic!("the pod did not start: {ended:?}"))
    }

    /// Starts a pod through a shell, which does something to its own process first and then becomes the pod.
    pub fn start_after(script: &str, settings: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("{script} && exec \"$0\"")]).arg(binary());
        Self::try_launch(shell, settings).unwrap_or_else(|ended| panic!("the pod did not start: {ended:?}"))
    }

    /// Starts a pod whose standard error is a terminal, as in the shell of a developer.
    pub fn start_on_terminal(settings: &[(&str, &str)]) -> Self {
        use rustix::{
            fs::{Mode, OFlags, open},
            pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
        };
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).and_then(|()| unlockpt(&terminal)).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let pods_end = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let mut command = Command::new(binary());
        command.stderr(Stdio::from(pods_end));
        Self::launch(command, Some(File::from(terminal)), settings)
            .unwrap_or_else(|ended| panic!("the pod did not start: {ended:?}"))
    }

    fn try_launch(mut command: Command, settings: &[(&str, &str)]) -> Result<Self, Ended> {
        command.stderr(Stdio::piped());
        Self::launch(command, None, settings)
    }

    /// Starts a pod whose log is read from its terminal, or else from its standard error.
    fn launch(
        mut command: Command,
        terminal: Option<File>,
        settings: &[(&str, &str)],
    ) -> Result<Self, Ended> {
        let mut child = command
            .env_clear()
            .envs([("FANFARE_LISTEN", "127.0.0.1:0"), ("FANFARE_OPS_LISTEN", "127.0.0.1:0")])
            .envs([("FANFARE_SETTLE", "0s"), ("FANFARE_DRAIN", "1s"), ("FANFARE_GRACE", "1h")])
            .env("FANFARE_POD", "pod-under-test")
            // `make coverage` looks into pods too.
            .envs(std::env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file)))
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It holds the pod's end of a terminal open.
        drop(command);
        let stdout = child.stdout.take().unwrap();
        let log = match (terminal, child.stderr.take()) {
            (Some(terminal), _) => Log::follow(terminal),
            (None, stderr) => Log::follow(stderr.unwrap()),
        };
        let (told, announced) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The rest is read too, so that the pod never waits for a full pipe.
                let _ = told.send(line);
            }
        });
        let mut addresses = [("page", None), ("ready", None)];
        while addresses.iter().any(|(_, address)| address.is_none()) {
            match announced.recv_timeout(START) {
                Ok(line) => {
                    // Without the page the same place is told as that of REST.
                    let line = line.replacen("rest ", "page ", 1);
                    for (label, address) in &mut addresses {
                        let url = line.trim().strip_prefix(*label).and_then(|after| after.split_once("://"));
                        let at = url.and_then(|(_, at)| at.split('/').next()?.parse().ok());
                        *address = address.or(at);
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(Self::ended(&mut child, &log)),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let _ = child.kill();
                    panic!("silent for {START:?}: {:?}", Self::ended(&mut child, &log));
                }
            }
        }
        let [public, ops] = addresses.map(|(_, address)| address.unwrap());
        Self::wait_started(ops);
        Ok(Self { pid: child.id(), child: Mutex::new(child), public, ops, log, shard: None, authority: None })
    }

    /// The same pod, which keeps its Redis.
    pub fn with_shard(mut self, shard: RedisServer) -> Self {
        self.shard = Some(shard);
        self
    }

    /// Addresses are told a moment before the pod is ready.
    fn wait_started(ops: SocketAddr) {
        let deadline = Instant::now() + START;
        let starting = || {
            let mut answer = String::new();
            let mut socket = TcpStream::connect(ops)?;
            socket.set_read_timeout(Some(START))?;
            socket.write_all(b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
            socket.read_to_string(&mut answer)?;
            Ok::<_, std::io::Error>(answer.contains("\"starting\""))
        };
        // A pod that does not answer either is for the test to find.
        while starting().is_ok_and(|starting| starting) && Instant::now() < deadline {
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn ended(child: &mut Child, log: &Log) -> Ended {
        let code = child.wait().unwrap().code();
        // The log's thread reads what is left in the pipe within moments.
        let mut said = String::new();
        for _ in 0..100 {
            said = log.lines().join("\n");
            if Arc::strong_count(&log.0) == 1 {
                break;
            }
            thread::park_timeout(Duration::from_millis(5));
        }
        Ended { code, said }
    }

    /// Sends a signal, by the process's id.
    pub fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::Term => "TERM",
            Signal::Int => "INT",
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Cont => "CONT",
        };
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid)]).status().unwrap();
        assert!(sent.success(), "the pod was gone before the signal");
    }

    /// Waits for the process to end by itself.
    pub async fn exit(&self, within: Duration) -> Option<i32> {
        let status = eventually("the process ends", within, async || {
            self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait().unwrap()
        });
        status.await.code()
    }

    /// Waits for a line of the log that holds all of these.
    pub async fn logged(&self, parts: &[&str], within: Duration) -> String {
        let holds = |line: &String| parts.iter().all(|part| line.contains(part));
        eventually("a line in the log", within, async || self.log.lines().into_iter().find(holds)).await
    }

    /// Every line of the log so far.
    pub fn log_lines(&self) -> Vec<String> {
        self.log.lines()
    }

    /// A WebSocket's path.
    pub fn watch_path(stream: &str) -> String {
        format!("/v1/streams/{stream}/watch")
    }

    /// Asks a public route.
    pub async fn get(&self, path: &str) -> Answer {
        http::get(self.public, path).await
    }

    /// Asks an ops route.
    pub async fn probe(&self, path: &str) -> Answer {
        http::get(self.ops, path).await
    }

    /// Posts a comment as a backend; it must be accepted. Returns the answer's body.
    pub async fn post(&self, stream: &str, body: &str) -> Value {
        let path = format!("/v1/streams/{stream}/comments");
        let answer = http::post(self.public, &path, &json!({"kind": "comment", "body": body})).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    /// Posts so many comments, `0` to `count - 1` each followed by the tail, in as few batches as possible.
    pub async fn fill(&self, stream: &str, count: usize, tail: &str) {
        let numbers: Vec<_> = (0..count).collect();
        for numbers in numbers.chunks(500) {
            let line = |number: &usize| json!({"stream": stream, "kind": "comment", "body": format!("{number}{tail}")});
            let comments: Vec<_> = numbers.iter().map(line).collect();
            let answer = http::post(self.public, "/v1/comments", &json!({"comments": comments})).await;
            assert_eq!(answer.status, 207, "{answer:?}");
            let results = answer.json();
            let results = results["results"].as_array().unwrap();
            assert!(results.iter().all(|result| result["status"] == 201), "{results:?}");
        }
    }

    /// Waits until the pod says that it is ready; returns what it says.
    pub async fn ready(&self) -> Value {
        eventually("the pod is ready", PATIENCE, async || {
            Some(self.probe("/ready").await).filter(|answer| answer.status == 200)
        })
        .await
        .json()
    }

    /// The value of a series of `/metrics`, by its name and a part of its labels; 0 if there is none yet.
    pub async fn counted(&self, name: &str, label: &str) -> f64 {
        let metrics = self.probe("/metrics").await.body;
        let mut lines = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.next().map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// Waits until so many watch.
    pub async fn has_viewers(&self, count: u64) {
        eventually("as many viewers", PATIENCE, async || {
            (self.probe("/ready").await.json()["viewers"] == count).then_some(())
        })
        .await;
    }

    /// Waits until nobody watches: what tests left behind is gone.
    pub async fn deserted(&self) {
        self.has_viewers(0).await;
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
        drop(self.shard.take());
        private::speak_plainly(self.public);
        let lines = self.log.lines();
        if thread::panicking() {
            let from = lines.len().saturating_sub(20);
            eprintln!("the pod's log ends:\n{}", lines[from..].join("\n"));
        } else {
            let panic = lines.iter().find(|line| line.contains("panicked at"));
            assert!(panic.is_none(), "the pod panicked: {panic:?}");
        }
    }
}
