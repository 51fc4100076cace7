//! The clients of docs/clients.md against a real pod.

mod codes;

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;
use testkit::{
    Authority, Issuer, Join, Pod, Relay,
    clients::{
        process::{Client, is_live},
        scenarios, tokens,
    },
    issuer::{keyed, keyed_private},
    root, stream_for,
};

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

/// The client in JavaScript, kept once.
const MODULE: &str = "src/http/page/watch-stream.mjs";
/// The client that somebody wrote who had only the documents.
const PYTHON: &str = "tests/clients/client.py";

#[tokio::test]
async fn a_node_client_shows_everything_once() {
    scenarios::shows_everything_once(node).await;
}

#[tokio::test]
async fn a_python_client_shows_everything_once() {
    scenarios::shows_everything_once(python).await;
}

#[tokio::test]
async fn a_node_client_moves_at_a_drain() {
    scenarios::moves_at_a_drain(node).await;
}

#[tokio::test]
async fn a_python_client_moves_at_a_drain() {
    scenarios::moves_at_a_drain(python).await;
}

#[tokio::test]
async fn a_node_client_keeps_posts_of_an_outage() {
    scenarios::posts_survive_a_frozen_shard(node).await;
}

#[tokio::test]
async fn a_python_client_keeps_posts_of_an_outage() {
    scenarios::posts_survive_a_frozen_shard(python).await;
}

#[tokio::test]
async fn a_node_client_keeps_posts_typed_offline() {
    scenarios::posts_typed_while_offline_arrive_in_order(node).await;
}

#[tokio::test]
async fn a_python_client_keeps_posts_typed_offline() {
    scenarios::posts_typed_while_offline_arrive_in_order(python).await;
}

#[tokio::test]
async fn a_node_client_stays_the_same_guest() {
    scenarios::stays_the_same_guest(node, None).await;
}

#[tokio::test]
async fn a_python_client_stays_the_same_guest() {
    scenarios::stays_the_same_guest(python, None).await;
}

#[tokio::test]
async fn a_node_client_with_a_token_stays_the_same_guest_where_there_are_no_keys() {
    scenarios::stays_the_same_guest(node, Some("of.no.key")).await;
}

#[tokio::test]
async fn a_python_client_with_a_token_stays_the_same_guest_where_there_are_no_keys() {
    scenarios::stays_the_same_guest(python, Some("of.no.key")).await;
}

#[tokio::test]
async fn a_client_does_not_refresh_with_the_token_that_it_shows() {
    tokens::does_not_refresh_with_the_token_that_it_shows(node).await;
}

#[tokio::test]
async fn a_client_fetches_a_token_at_most_once_for_each_warning() {
    tokens::fetches_one_token_for_several_warnings(node).await;
}

#[tokio::test]
async fn a_client_asks_again_for_a_token_that_it_was_not_given() {
    tokens::asks_again_for_a_token_that_it_was_not_given(node).await;
}

#[tokio::test]
async fn a_stopped_client_leaves_nothing_behind() {
    scenarios::leaves_nothing_behind(node).await;
}

#[tokio::test]
async fn a_node_client_comes_back() {
    scenarios::comes_back_after_a_loss_and_a_refusal(node).await;
}

#[tokio::test]
async fn a_python_client_comes_back() {
    scenarios::comes_back_after_a_loss_and_a_refusal(python).await;
}

#[tokio::test]
async fn a_node_client_comes_back_when_it_was_told() {
    scenarios::comes_back_when_it_was_told(node).await;
}

#[tokio::test]
async fn a_python_client_comes_back_when_it_was_told() {
    scenarios::comes_back_when_it_was_told(python).await;
}

/// The same by the client's own clock and the frame's own number, again and again.
#[tokio::test]
async fn a_node_client_waits_as_long_as_each_frame_says() {
    let (pod, stream) = (Pod::start(&[("FANFARE_MAX_VIEWERS", "1")]), stream_for("frames"));
    let _only = Join::new(&pod, &stream).open().await;
    let mut client = Client::start(node().env("TELL_TIMES", "1"), pod.public, &stream);
    let opened = |told: &[Value]| told.iter().filter(|told| told["opens_at_ms"].is_number()).count();
    client.until("a third handshake", |told| opened(told) >= 3).await;
    let (mut earliest_ms, mut waits) = (0.0, 0);
    for told in &client.told {
        if let Some(opens_at_ms) = told["opens_at_ms"].as_f64() {
            assert!(opens_at_ms >= earliest_ms, "{:?}", client.told);
        }
        if let (Some(at_ms), Some(within_ms)) = (told["at_ms"].as_f64(), told["within_ms"].as_f64()) {
            assert!((5_000.0..=15_000.0).contains(&within_ms), "{told}");
            (earliest_ms, waits) = (at_ms + within_ms, waits + 1);
        }
    }
    assert!(waits >= 2, "{:?}", client.told);
}

/// Symptom: a comment posted by an app as soon as it was connected was sent twice.
/// Cause: it was sent within `onState('live')`, and again with all unanswered ones right after.
#[tokio::test]
async fn a_post_made_when_the_client_becomes_live_is_sent_once() {
    let (pod, stream) = (Pod::shared(), stream_for("live"));
    let mut client = Client::start(node().env("POST_WHEN_LIVE", "first"), pod.public, &stream);
    client.shows("first").await;
    client.say("second");
    client.shows("second").await;
    client
        .until("an answer to the second", |told| {
            told.iter().filter(|told| told["type"] == "posted").count() >= 2
        })
        .await;
    client.say("third");
    client
        .until("an answer to the third", |told| {
            told.iter().filter(|told| told["type"] == "posted").count() >= 3
        })
        .await;
    client.shows("third").await;
    assert_eq!(client.count("type", "posted"), 3);
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
    let (issuer, stranger) = (Issuer::create(), Authority::create());
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
    let issuer = Issuer::create();
    shows_a_token(&keyed(&issuer, &[]), &issuer, node).await;
}

#[tokio::test]
async fn a_python_client_shows_a_token() {
    let issuer = Issuer::create();
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
    assert!(document.contains(PYTHON) && lines < 60, "{lines} lines");
}
