//! A redis-server process of a test's own, on a free port, with its files in a temporary folder.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// A running server; dropping it ends the process and removes its files.
pub struct RedisServer {
    child: Child,
    port: u16,
    folder: PathBuf,
    options: Vec<String>,
}

impl RedisServer {
    /// Starts a server without persistence.
    pub fn start() -> Self {
        Self::with(&["--save", ""])
    }

    /// Starts a server that writes each command to its append-only file before it answers.
    pub fn durable() -> Self {
        Self::with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"])
    }

    /// Starts a server with these options.
    pub fn with(options: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("fanfare-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        // What a killed run with the same id left behind is no history of this one.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        // A port that was free just now; another process may take it first, and one of a cluster needs the port 10,000
        // above as well: hence the attempts.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let options: Vec<String> = options.iter().map(ToString::to_string).collect();
            let child = spawn(port, &folder, &options);
            let mut server = Self { child, port, folder: folder.clone(), options };
            if server.answers() {
                return server;
            }
        }
        panic!("no redis-server would start");
    }

    /// How to reach it, as nobody in particular.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// How to reach it as a user.
    pub fn url_of(&self, user: &str, password: &str) -> String {
        format!("redis://{user}:{password}@127.0.0.1:{}/0", self.port)
    }

    /// Its port on the loopback address.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its files.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs a command through redis-cli, and returns its answer's lines.
    pub fn cli(&self, args: &[&str]) -> String {
        let output =
            Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// A connection that is held, for a server that takes no further ones.
    pub fn console(&self) -> Console {
        Console(TcpStream::connect(("127.0.0.1", self.port)).unwrap())
    }

    /// Kills the process at once, as a crash would.
    pub fn crash(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same port, with the files that it left.
    pub fn restart(&mut self) {
        self.child = spawn(self.port, &self.folder, &self.options);
        assert!(self.answers(), "redis-server did not start again");
    }

    /// Loses all that it wrote, while it is down.
    pub fn lose_files(&mut self) {
        fs::remove_dir_all(&self.folder).unwrap();
        fs::create_dir_all(&self.folder).unwrap();
    }

    /// Ends it at once; a copy of it, as old as it is, takes its place behind its port.
    pub fn fail_over(&mut self, mut copy: Self) {
        assert_eq!(copy.cli(&["SAVE"]), "OK");
        copy.crash();
        self.crash();
        std::mem::swap(&mut self.folder, &mut copy.folder);
        std::mem::swap(&mut self.options, &mut copy.options);
        self.restart();
    }

    /// Stops the process without ending it: its connections stay, and nothing answers.
    pub fn freeze(&self) {
        self.signal("-STOP");
        // Signals are taken when a process runs: on a busy machine not at once.
        let is_stopped = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        };
        while !is_stopped() {
            let _ = Command::new("sleep").arg("0.01").status();
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn answers(&mut self) -> bool {
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end && self.child.try_wait().unwrap().is_none() {
            // One that knows nobody without a password is there, too.
            let is_answer = |said: String| said == "PONG" || said.starts_with("NOAUTH");
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() && is_answer(self.cli(&["PING"])) {
                return true;
            }
            // As long as redis-cli needs to start; there is no runtime here to wait on.
            let _ = Command::new("sleep").arg("0.02").status();
        }
        false
    }
}

/// A bare connection.
pub struct Console(TcpStream);

impl Console {
    /// Sends a line, and returns the reply as it comes.
    pub fn ask(&mut self, line: &str) -> String {
        self.0.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let mut reply = vec![0; 64 * 1024];
        let length = self.0.read(&mut reply).unwrap();
        String::from_utf8_lossy(&reply[..length]).into_owned()
    }
}

fn spawn(port: u16, folder: &PathBuf, options: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
        .arg(folder)
        .args(["--enable-debug-command", "local"])
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // SIGKILL ends a frozen process too.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
