//! Clients that are not ours, written from docs/clients.md, against a real pod.

mod codes;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
};

use serde_json::Value;

use crate::{
    identity::{keyed, keyed_private},
    world::{Authority, Issuer, Join, PATIENCE, Pod, RedisServer, Relay, Signal, eventually, stream_for},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A client in a process of its own: it posts each line that it is given, and prints what happens, a JSON object a line.
struct Client {
    child: Child,
    stdin: ChildStdin,
    lines: mpsc::Receiver<String>,
    /// What it printed.
    told: Vec<Value>,
}

impl Client {
    fn start(command: &mut Command, address: SocketAddr, stream: &str) -> Self {
        Self::run(command.args([&format!("ws://{address}"), stream]))
    }

    fn run(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(tell.send(line))));
        Self { child, stdin, lines, told: Vec::new() }
    }

    fn node(address: SocketAddr, stream: &str) -> Self {
        Self::start(&mut node(), address, stream)
    }

    fn python(address: SocketAddr, stream: &str) -> Self {
        Self::start(&mut python(), address, stream)
    }

    fn say(&mut self, text: &str) {
        writeln!(self.stdin, "{text}").unwrap();
    }

    /// Waits until it has printed what is wanted.
    async fn until(&mut self, what: &str, wanted: impl Fn(&[Value]) -> bool) {
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
    async fn shows(&mut self, text: &str) {
        self.until(text, |told| told.iter().any(|told| told["body"] == text)).await;
    }

    /// The texts that it shows, in order.
    fn texts(&self) -> Vec<&str> {
        self.told.iter().filter_map(|told| told["body"].as_str()).collect()
    }
}

fn is_live(told: &[Value]) -> bool {
    told.iter().any(|told| told["state"] == "live")
}

/// Node with the package `ws`, running the module that the page and docs/clients.md share.
fn node() -> Command {
    let mut command = Command::new("node");
    command.env("NODE_PATH", "/usr/share/nodejs").arg(root().join("tests/clients/client.cjs"));
    command.arg(root().join(MODULE));
    command
}

/// Python with the package `websockets`, and nothing of ours.
fn python() -> Command {
    // Debian's own Python, which Debian's packages belong to.
    let mut command = Command::new("/usr/bin/python3");
    command.arg(PathBuf::from(root()).join(PYTHON));
    command
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The client in JavaScript, kept once.
const MODULE: &str = "src/http/page/watch-stream.mjs";
/// The client that somebody wrote who had only the documents.
const PYTHON: &str = "tests/clients/client.py";

/// Joins, posts, resumes after cuts, and shows everything once, in the stream's order.
async fn shows_everything_once(start: impl Fn(SocketAddr, &str) -> Client) {
    let (pod, stream) = (Pod::shared(), stream_for("client"));
    pod.fill(&stream, 3, "").await;
    let relay = Relay::to(pod.public).await;
    let mut client = start(relay.address, &stream);
    client.shows("2").await;
    client.say("posted by the client");
    client.shows("posted by the client").await;
    for number in 3..40 {
        pod.post(&stream, &number.to_string()).await;
        if number % 15 == 5 {
            client.shows(&number.to_string()).await;
            relay.cut();
            client.say(&format!("typed at the cut at {number}"));
        }
    }
    for last in ["39", "typed at the cut at 5", "typed at the cut at 20", "typed at the cut at 35"] {
        client.shows(last).await;
    }
    // Away for more than what a newcomer is shown.
    relay.cut_off();
    pod.fill(&stream, 100, " later").await;
    relay.lead_to(pod.public);
    client.shows("99 later").await;
    let page = pod.get(&format!("/v1/streams/{stream}/comments?limit=200")).await.json();
    let stored: Vec<_> =
        page["comments"].as_array().unwrap().iter().map(|c| c["body"].as_str().unwrap()).collect();
    assert_eq!(stored.len(), 144);
    assert_eq!(client.texts(), stored);
}

/// A pod asks its viewers to move: the client shows everything once, and was never without a connection.
async fn moves_at_a_drain(start: impl Fn(SocketAddr, &str) -> Client) {
    let (redis, stream) = (RedisServer::start(), stream_for("moving"));
    let shards = format!("a={}", redis.url());
    let pod = || Pod::start(&[("FANFARE_SHARDS", &shards), ("FANFARE_DRAIN", "18s")]);
    let (old, new) = (pod(), pod());
    let relay = Relay::to(old.public).await;
    let mut client = start(relay.address, &stream);
    client.until("hello", is_live).await;
    relay.lead_to(new.public);
    relay.hold(Some(new.public));
    old.signal(Signal::Term);
    new.has_viewers(1).await;
    // It has asked at the new pod, and hears these from the old one; the new one brings them again.
    new.fill(&stream, 10, " from the old").await;
    client.shows("9 from the old").await;
    relay.hold(None);
    let moved = |told: &[Value]| told.iter().filter(|told| told["state"] == "live").count() == 2;
    client.until("the move", moved).await;
    new.post(&stream, "after the move").await;
    client.shows("after the move").await;
    let expected = (0..10).map(|number| format!("{number} from the old"));
    let expected: Vec<_> = expected.chain(["after the move".to_owned()]).collect();
    assert_eq!(client.texts(), expected);
    let states: Vec<_> = client.told.iter().filter_map(|told| told["state"].as_str()).collect();
    assert!(!states.contains(&"waiting"), "{states:?}");
}

#[tokio::test]
async fn a_node_client_shows_everything_once() {
    shows_everything_once(Client::node).await;
}

#[tokio::test]
async fn a_python_client_shows_everything_once() {
    shows_everything_once(Client::python).await;
}

/// A post that a dead shard did not answer is in the stream once when the shard is back.
async fn repeats_what_a_dead_shard_did_not_answer(start: impl Fn(SocketAddr, &str) -> Client) {
    let (redis, stream) = (RedisServer::start(), stream_for("repeats"));
    let pod = Pod::start(&[("FANFARE_SHARDS", &format!("a={}", redis.url()))]);
    let mut client = start(pod.public, &stream);
    client.say("before");
    client.shows("before").await;
    redis.freeze();
    client.say("while it was frozen");
    eventually("two answers that say nothing", PATIENCE, async || {
        let metrics = pod.probe("/metrics").await.body;
        let unknown = metrics.lines().find(|line| line.contains(r#"outcome="unknown""#))?;
        (unknown.rsplit(' ').next()?.parse::<f64>().ok()? >= 2.0).then_some(())
    })
    .await;
    redis.thaw();
    client.shows("while it was frozen").await;
    client.say("after");
    client.shows("after").await;
    assert_eq!(client.texts(), ["before", "while it was frozen", "after"]);
}

#[tokio::test]
async fn a_node_client_repeats_what_a_dead_shard_did_not_answer() {
    repeats_what_a_dead_shard_did_not_answer(Client::node).await;
}

#[tokio::test]
async fn a_python_client_repeats_what_a_dead_shard_did_not_answer() {
    repeats_what_a_dead_shard_did_not_answer(Client::python).await;
}

#[tokio::test]
async fn a_node_client_moves_at_a_drain() {
    moves_at_a_drain(Client::node).await;
}

#[tokio::test]
async fn a_python_client_moves_at_a_drain() {
    moves_at_a_drain(Client::python).await;
}

/// With a token it watches and posts, as the token's user; without one it is kept out.
async fn shows_a_token(pod: &Pod, issuer: &Issuer, command: impl Fn() -> Command) {
    let stream = stream_for("token");
    let mut ben = Join::new(pod, &stream).bearing(issuer.token_for("ben")).open().await;
    ben.say("from ben").await;
    let mut client =
        Client::run(command().args([&pod.url_at(pod.public), &stream, &issuer.token_for("ann")]));
    client.shows("from ben").await;
    client.say("from ann");
    client.shows("from ann").await;
    is_kept_out(pod, |url| Client::run(command().args([url, &stream]))).await;
    ben.say("the last").await;
    ben.comments(3).await;
    let seen: Vec<_> = ben.seen.iter().map(|seen| (seen.author.as_str(), seen.body.as_str())).collect();
    assert_eq!(seen, [("ben", "from ben"), ("ann", "from ann"), ("ben", "the last")]);
}

/// It comes again and again, and gets nothing.
async fn is_kept_out(pod: &Pod, start: impl FnOnce(&str) -> Client) {
    let relay = Relay::to(pod.public).await;
    let mut client = start(&pod.url_at(relay.address));
    client.say("from nobody");
    client.until("a second attempt", |_| relay.came() >= 2).await;
    assert!(client.texts().is_empty() && !is_live(&client.told), "{:?}", client.told);
}

/// The same over wss; and it trusts the pod by its certificate only.
async fn shows_a_token_over_wss(command: fn() -> Command, trusts: &str) {
    let (issuer, stranger) = (Issuer::new(), Authority::new());
    let pod = keyed_private(&issuer, &[]);
    let trusting = |authority: &Authority| {
        let mut command = command();
        command.env(trusts, authority.file("ca.pem"));
        command
    };
    shows_a_token(&pod, &issuer, || trusting(pod.authority())).await;
    let (stream, token) = (stream_for("stranger"), issuer.token_for("ann"));
    is_kept_out(&pod, |url| Client::run(trusting(&stranger).args([url, &stream, &token]))).await;
}

#[tokio::test]
async fn a_node_client_shows_a_token() {
    let issuer = Issuer::new();
    shows_a_token(&keyed(&issuer, &[]), &issuer, node).await;
}

#[tokio::test]
async fn a_python_client_shows_a_token() {
    let issuer = Issuer::new();
    shows_a_token(&keyed(&issuer, &[]), &issuer, python).await;
}

#[tokio::test]
async fn a_node_client_shows_a_token_over_wss() {
    shows_a_token_over_wss(node, "NODE_EXTRA_CA_CERTS").await;
}

#[tokio::test]
async fn a_python_client_shows_a_token_over_wss() {
    shows_a_token_over_wss(python, "SSL_CERT_FILE").await;
}

/// docs/clients.md shows the client that the page runs, and the Python client is as short as the document says.
#[test]
fn the_document_shows_the_client_that_the_page_runs() {
    let (document, module) = (fs::read_to_string(root().join("docs/clients.md")).unwrap(), MODULE);
    let module = fs::read_to_string(root().join(module)).unwrap();
    assert!(module.lines().count() > 40, "the module is where it is expected");
    assert!(document.contains(&format!("```js\n{module}```\n")), "docs/clients.md and {MODULE} differ");
    let python = fs::read_to_string(root().join(PYTHON)).unwrap();
    let lines = python.lines().filter(|line| !line.is_empty()).count();
    assert!(document.contains(PYTHON) && lines < 50, "{lines} lines");
}
