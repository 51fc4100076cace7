//! istiod's discovery server, without a cluster: `tests/istiod`.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};

/// A discovery server in a process of its own; dropping the last handle ends it.
#[derive(Clone)]
pub(crate) struct Istiod(Arc<Mutex<Process>>);

struct Process {
    child: Child,
    /// Closing it ends the process.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    folder: PathBuf,
}

/// The addresses that a discovery server tells at its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    /// The server's own.
    pub(crate) discovery: SocketAddr,
    /// The port of this machine that is the gateway's port 80.
    pub(crate) http: SocketAddr,
}

/// A pod as an endpoint of the Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) labels: Value,
    pub(crate) address: SocketAddr,
    pub(crate) is_ready: bool,
}

impl Istiod {
    /// Starts one with the objects of a rendered overlay; its files are kept in `folder`.
    pub(crate) fn start(overlay: &str, folder: &Path) -> (Self, Addresses) {
        let program = std::env::var_os("ISTIOD").expect("ISTIOD is tests/istiod: run scripts/bluegreen.sh");
        let file = folder.join("overlay.yaml");
        fs::write(&file, overlay).unwrap();
        let mut child = Command::new(program)
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.join("istiod.log")).unwrap())
            .spawn()
            .unwrap();
        let (commands, answers) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut process = Process { child, commands, answers, folder: folder.to_owned() };
        let told = process.answer();
        let here =
            |port: &Value| SocketAddr::from(([127, 0, 0, 1], u16::try_from(port.as_u64().unwrap()).unwrap()));
        let addresses = Addresses {
            discovery: told["xds"].as_str().unwrap().parse().unwrap(),
            http: here(&told["http"]),
        };
        (Self(Arc::new(Mutex::new(process))), addresses)
    }

    /// Replaces the objects of a rendered overlay; returns the version of the configuration before that.
    pub(crate) fn apply(&self, overlay: &str) -> u64 {
        let mut process = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let file = process.folder.join("overlay.yaml");
        fs::write(&file, overlay).unwrap();
        process.ask(&json!({"apply": [file]}))["before"].as_u64().unwrap()
    }

    /// Replaces the endpoints of the Service.
    pub(crate) fn set_endpoints(&self, endpoints: &[Endpoint]) {
        let pod = |each: &Endpoint| json!({"name": each.name, "labels": each.labels, "address": each.address.ip(), "port": each.address.port(), "ready": each.is_ready});
        let pods: Vec<_> = endpoints.iter().map(pod).collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ask(&json!({"pods": pods}));
    }
}

impl Process {
    fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| {
            let log = fs::read_to_string(self.folder.join("istiod.log")).unwrap_or_default();
            panic!("istiod answered {line:?}, {error}: {log}")
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
