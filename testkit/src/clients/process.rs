//! A client in a process of its own.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
};

use serde_json::Value;

use crate::{PATIENCE, eventually};

/// A client in a process: it posts each line of its input, and prints a JSON object a line.
pub struct Client {
    child: Child,
    /// Until the end of its input.
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    /// The lines that it printed.
    pub told: Vec<Value>,
}

impl Client {
    /// Starts a client of a stream at a pod, or at a relay to it.
    pub fn start(command: &mut Command, address: SocketAddr, stream: &str) -> Self {
        Self::run(command.args([&format!("ws://{address}"), stream]))
    }

    /// Starts a client whose arguments are complete.
    pub fn run(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(tell.send(line))));
        Self { child, stdin, lines, told: Vec::new() }
    }

    /// Gives it a line of input.
    pub fn say(&mut self, text: &str) {
        writeln!(self.stdin.as_ref().unwrap(), "{text}").unwrap();
    }

    /// Ends its input, and waits until its process has ended by itself.
    pub async fn ends(mut self) {
        drop(self.stdin.take());
        let status = eventually("the client's end", PATIENCE, async || self.child.try_wait().unwrap()).await;
        assert!(status.success(), "{status}: {:?}", self.told);
    }

    /// Waits until the lines that it printed satisfy a condition.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&[Value]) -> bool) {
        eventually(what, PATIENCE, async || {
            for line in self.lines.try_iter() {
                self.told.push(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")));
            }
            assert!(self.child.try_wait().unwrap().is_none(), "the client ended: {:?}", self.told);
            wanted(&self.told).then_some(())
        })
        .await;
    }

    /// Waits until it shows this text.
    pub async fn shows(&mut self, text: &str) {
        self.until(text, |told| told.iter().any(|told| told["body"] == text)).await;
    }

    /// How many of the lines that it printed have this value.
    pub fn count(&self, name: &str, value: &str) -> usize {
        self.told.iter().filter(|told| told[name] == value).count()
    }

    /// The texts that it shows, in order.
    pub fn texts(&self) -> Vec<&str> {
        self.told.iter().filter_map(|told| told["body"].as_str()).collect()
    }
}

/// Returns whether a client printed that it is connected.
pub fn is_live(told: &[Value]) -> bool {
    told.iter().any(|told| told["state"] == "live")
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
