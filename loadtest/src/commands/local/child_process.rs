//! A server process of this tester's own, and the folder with what it says.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// Of what a server said last, so much is shown.
const LAST_LINES: usize = 5;

/// A temporary folder; dropping it removes it.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("loadtest-{}-{count}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Whoever removed it first did no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What to start, and how.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    /// Names the process in tables, and its files.
    pub(crate) name: &'a str,
    pub(crate) program: &'a Path,
    pub(crate) args: Vec<OsString>,
    /// Environment variables.
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) cpu: Option<u16>,
    pub(crate) folder: &'a Path,
}

/// A process that runs; dropping it ends it at once.
#[derive(Debug)]
pub(crate) struct ChildProcess {
    child: Child,
    said: PathBuf,
    complained: PathBuf,
    ended: Option<ExitStatus>,
}

impl ChildProcess {
    pub(crate) fn start(start: Start<'_>) -> io::Result<Self> {
        let file = |kind: &str| start.folder.join(format!("{}.{kind}", start.name));
        let (said, complained) = (file("out"), file("err"));
        // The program of this very process, even if its file was replaced meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command.args(["leash", "--parent", &std::process::id().to_string()]);
        if let Some(cpu) = start.cpu {
            command.args(["--cpu", &cpu.to_string()]);
        }
        command.arg("--").arg(start.program).args(start.args);
        for (name, _) in std::env::vars_os() {
            // What this shell happens to set must not change what is measured.
            if name.to_string_lossy().starts_with("FANFARE_") {
                command.env_remove(name);
            }
        }
        let child = command
            .envs(start.settings)
            .stdin(Stdio::null())
            .stdout(File::create(&said)?)
            .stderr(File::create(&complained)?)
            .spawn()?;
        Ok(Self { child, said, complained, ended: None })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it wrote to standard output.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// How the process ended; `None` while it runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.ended = self.ended.or_else(|| self.child.try_wait().ok().flatten());
        self.ended
    }

    /// How the process ended, and what it said last.
    pub(crate) fn end(&mut self) -> String {
        let how = self.ended().map_or_else(|| "still runs".to_owned(), how);
        let text = [&self.complained, &self.said].map(|path| fs::read_to_string(path).unwrap_or_default());
        let lines: Vec<_> =
            text.iter().flat_map(|text| text.lines()).filter(|line| !line.is_empty()).collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n  ");
        if last.is_empty() { how } else { format!("{how}; it said:\n  {last}") }
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
