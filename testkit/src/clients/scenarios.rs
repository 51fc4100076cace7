//! The behaviour of every client, in each language and on each runtime.

use std::{process::Command, time::Duration};

use serde_json::{Value, json};

use super::process::{Client, is_live};
use crate::{Join, PATIENCE, Pod, RedisServer, Relay, Signal, TempFile, eventually, root, stream_for};

/// Joins, posts, resumes after cuts, and shows everything once, in the stream's order.
pub async fn shows_everything_once(command: impl Fn() -> Command) {
    let (pod, stream) = (Pod::shared(), stream_for("client"));
    pod.fill(&stream, 3, "").await;
    let relay = Relay::to(pod.public).await;
    let mut client = Client::start(&mut command(), relay.address, &stream);
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
pub async fn moves_at_a_drain(command: impl Fn() -> Command) {
    let (redis, stream) = (RedisServer::start(), stream_for("moving"));
    let shards = format!("a={}", redis.url());
    let pod = || Pod::start(&[("FANFARE_SHARDS", &shards), ("FANFARE_DRAIN", "18s")]);
    let (old, new) = (pod(), pod());
    let relay = Relay::to(old.public).await;
    let mut client = Client::start(&mut command(), relay.address, &stream);
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

/// The texts of a stream, as the server stored them.
async fn stored(pod: &Pod, stream: &str) -> Vec<String> {
    let page = pod.get(&format!("/v1/streams/{stream}/comments?limit=200")).await.json();
    page["comments"].as_array().unwrap().iter().map(|c| c["body"].as_str().unwrap().to_owned()).collect()
}

/// Waits until a pod has counted so many posts with an outcome; `unknown` is one whose shard did not answer.
async fn posts_with_outcome(pod: &Pod, outcome: &str, posts: f64) {
    eventually(&format!("posts with the outcome {outcome}"), PATIENCE, async || {
        let metrics = pod.probe("/metrics").await.body;
        let label = format!("outcome=\"{outcome}\"");
        let counted = metrics.lines().find(|line| line.contains("posts") && line.contains(&label))?;
        (counted.rsplit(' ').next()?.parse::<f64>().ok()? >= posts).then_some(())
    })
    .await;
}

/// Symptom: a guest's comment whose answer was lost with the connection was in the stream twice.
/// Cause: the client connected as a new guest, and post ids belong to their guest.
///
/// A pod without keys reads no token, so a viewer with one and without a name is a guest there as well: it did not show its
/// secret.
pub async fn stays_the_same_guest(command: impl Fn() -> Command, token: Option<&str>) {
    let (redis, stream) = (RedisServer::start(), stream_for("guest"));
    let shards = format!("a={}", redis.url());
    let pod = || Pod::start(&[("FANFARE_SHARDS", &shards), ("FANFARE_DRAIN", "18s")]);
    let (first, second) = (pod(), pod());
    let relay = Relay::to(first.public).await;
    let (mut command, url) = (command(), first.url_at(relay.address));
    let mut client = Client::run(command.env("VIEWER_NAME", "").args([&url, &stream]).args(token));
    client.until("hello", is_live).await;
    relay.hold(Some(first.public));
    client.say("its answer is lost");
    eventually("the post is stored", PATIENCE, async || {
        (stored(&first, &stream).await == ["its answer is lost"]).then_some(())
    })
    .await;
    relay.lead_to(second.public);
    relay.cut();
    client.say("after the loss");
    client.shows("after the loss").await;
    assert_eq!(stored(&second, &stream).await, ["its answer is lost", "after the loss"]);
    posts_with_outcome(&second, "duplicate", 1.0).await;
    relay.hold(None);
    relay.lead_to(first.public);
    second.signal(Signal::Term);
    let moved = |told: &[Value]| told.iter().filter(|told| told["state"] == "live").count() == 3;
    client.until("the move", moved).await;
    client.say("after the move");
    client.shows("after the move").await;
    let expected = ["its answer is lost", "after the loss", "after the move"];
    assert_eq!(stored(&first, &stream).await, expected);
    assert_eq!(client.texts(), expected);
    let page = first.get(&format!("/v1/streams/{stream}/comments")).await.json();
    let authors: Vec<_> = page["comments"].as_array().unwrap().iter().map(|c| &c["author"]["id"]).collect();
    assert!(authors.iter().all(|author| *author == authors[0]), "{authors:?}");
}

/// Symptom: of 12 comments typed while a shard was frozen, 4 or 5 arrived.
/// Cause: each was sent again by itself, against the limits, and dropped when the answer was `rate_limited`.
pub async fn posts_survive_a_frozen_shard(command: impl Fn() -> Command) {
    let (redis, stream) = (RedisServer::start(), stream_for("frozen"));
    let pod = Pod::start(&[
        ("FANFARE_SHARDS", &format!("a={}", redis.url())),
        ("FANFARE_LIMITS", root().join("deploy/limits.json").to_str().unwrap()),
    ]);
    let mut client = Client::start(&mut command(), pod.public, &stream);
    client.say("before");
    client.shows("before").await;
    redis.freeze();
    for number in 0..12 {
        client.say(&format!("typed {number}"));
    }
    posts_with_outcome(&pod, "unknown", 3.0).await;
    redis.thaw();
    client.shows("typed 11").await;
    client.say("after");
    client.shows("after").await;
    let typed = (0..12).map(|number| format!("typed {number}"));
    let expected: Vec<_> =
        ["before".to_owned()].into_iter().chain(typed).chain(["after".to_owned()]).collect();
    assert_eq!(stored(&pod, &stream).await, expected);
    assert_eq!(client.texts(), expected);
}

/// Symptom: of 15 comments typed while offline, 10 arrived; and their order was another one.
/// Cause: all were sent at once after the `hello`, and those answered with `rate_limited` were dropped.
pub async fn posts_typed_while_offline_arrive_in_order(command: impl Fn() -> Command) {
    let limits = TempFile::with(&json!({"posts": {"viewer": {"per_second": 5, "burst": 5}}}).to_string());
    let (pod, stream) = (Pod::start(&[("FANFARE_LIMITS", limits.path())]), stream_for("offline"));
    let relay = Relay::to(pod.public).await;
    let mut client = Client::start(&mut command(), relay.address, &stream);
    client.until("hello", is_live).await;
    relay.cut_off();
    for number in 0..15 {
        client.say(&format!("typed {number}"));
    }
    relay.lead_to(pod.public);
    client.shows("typed 14").await;
    let expected: Vec<_> = (0..15).map(|number| format!("typed {number}")).collect();
    assert_eq!(stored(&pod, &stream).await, expected);
    assert_eq!(client.texts(), expected);
}

/// Symptom: in Deno a client stopped for ever at its first lost connection; in Node 20 and 22 at a refused handshake.
/// Cause: Deno shows code 0 for a lost connection, and those versions of Node send no `close` after a refused handshake.
pub async fn comes_back_after_a_loss_and_a_refusal(command: impl Fn() -> Command) {
    let settings = [("FANFARE_MAX_VIEWERS", "1"), ("FANFARE_SOCKET_REFUSALS_PER_SECOND", "0")];
    let (pod, full) = (Pod::shared(), Pod::start(&settings));
    let stream = stream_for("back");
    let _only = Join::new(&full, &stream).open().await;
    let relay = Relay::to(pod.public).await;
    let mut client = Client::start(&mut command(), relay.address, &stream);
    client.until("hello", is_live).await;
    let came = relay.came();
    relay.lead_to(full.public);
    relay.cut();
    client.until("two refused handshakes", |_| relay.came() >= came + 2).await;
    relay.lead_to(pod.public);
    client.until("hello again", |told| told.iter().filter(|told| told["state"] == "live").count() == 2).await;
    client.say("back again");
    client.shows("back again").await;
    // Half a minute later it would have come back as well, for that reason.
    assert_eq!(client.count("reason", "no answer to ping"), 0, "{:?}", client.told);
}

/// Once it is stopped, connected or not, nothing of it is left: no connection, no thread and no timer.
pub async fn leaves_nothing_behind(command: impl Fn() -> Command) {
    let (pod, stream) = (Pod::shared(), stream_for("stopped"));
    let mut connected = Client::start(&mut command(), pod.public, &stream);
    connected.until("hello", is_live).await;
    connected.ends().await;
    eventually("no viewer", PATIENCE, async || {
        (pod.get(&format!("/v1/streams/{stream}")).await.json()["viewers"] == 0).then_some(())
    })
    .await;
    let relay = Relay::to(pod.public).await;
    let mut waiting = Client::start(&mut command(), relay.address, &stream);
    waiting.until("hello", is_live).await;
    relay.cut_off();
    waiting.until("the loss", |told| told.iter().any(|told| told["state"] == "waiting")).await;
    waiting.ends().await;
}

/// A client that a full pod refuses on the WebSocket comes again when it was told, and no sooner. Without being told it
/// would come within 3 s; what a full pod tells is 5 s or more.
pub async fn comes_back_when_it_was_told(command: impl Fn() -> Command) {
    let (full, stream) = (Pod::start(&[("FANFARE_MAX_VIEWERS", "1")]), stream_for("told"));
    let only = Join::new(&full, &stream).open().await;
    let relay = Relay::to(full.public).await;
    let mut client = Client::start(&mut command(), relay.address, &stream);
    client.until("a second handshake", |_| relay.came() >= 2).await;
    drop(only);
    client.until("hello", is_live).await;
    client.say("at last");
    client.shows("at last").await;
    // The relay passes a handshake on after it has looked at the clock.
    let arrivals = relay.arrivals();
    let waited = arrivals[1].duration_since(arrivals[0]);
    assert!(waited >= Duration::from_secs(5), "{waited:?}");
    let told = full.counted("fanfare_closes_total", r#"reason="not accepting""#).await;
    assert!(told >= 1.0, "{told} were told on the WebSocket");
}
