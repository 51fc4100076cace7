//! Logs: what is in them, what never is, and that nobody waits for whoever reads them.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{
    Collector, Join, Manner, Otlp, PATIENCE, Pod, RedisServer, Signal, eventually, get, post, request,
    stream_for,
};

use super::Scrape;

/// Symptom: of a pod's log, page and metrics nobody could tell which commit it was built of. The first line of the log,
/// `--version`, `/status` and `target_info` name the same build.
#[tokio::test]
async fn the_build_is_named_wherever_one_looks() {
    let pod = Pod::start(&[]);
    let (version, build) = (env!("CARGO_PKG_VERSION"), env!("BUILD_COMMIT"));
    pod.ready().await;
    let first: Value = serde_json::from_str(&pod.log_lines()[0]).unwrap();
    assert_eq!((&first["version"], &first["build"]), (&version.into(), &build.into()), "{first}");
    let status = pod.probe("/status.json").await.json();
    assert_eq!((&status["version"], &status["build"]), (&version.into(), &build.into()), "{status}");
    let label = format!("fanfare_build=\"{build}\"");
    assert_eq!(Scrape::of(&pod).await.sum("target_info", &[&label]), 1.0);
    let said = Command::new(env!("CARGO_BIN_EXE_fanfare")).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), format!("fanfare {version} ({build})"));
}

/// Words that a person said or that open doors: none may be found in any log.
const MARKS: [&str; 5] = ["m4rk-body", "m4rk-name", "m4rk-token", "m4rk-data", "m4rk-key"];

/// No comment's text, name, token or client's address is in a log, at any level, whatever happens.
#[tokio::test]
async fn no_log_holds_a_comments_text_a_token_or_an_address() {
    let (collector, mut redis, stream) =
        (Collector::start(Otlp::Http, Manner::Takes), RedisServer::start(), stream_for("secret"));
    let (endpoint, shards) = (format!("http://{}", collector.address), format!("a={}", redis.url()));
    let pod = Pod::start(&[
        ("RUST_LOG", "fanfare=trace"),
        ("FANFARE_SHARDS", &shards),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=m4rk-token"),
    ]);
    let mut viewer = Join::new(&pod, &stream).named("m4rk-name").open().await;
    viewer.post(json!({"body": "m4rk-body", "id": "m4rk-key"})).await;
    viewer.send(r#"{"type":"post","body":7,"m4rk-body":"m4rk-body"}"#).await;
    viewer.send(r#"{"type":"post","body":"m4rk-body"#).await;
    viewer.ping().await;
    let gift = json!({"kind": "gift", "author": {"id": "m4rk-name", "name": "m4rk-name"}, "body": "m4rk-body",
                      "data": {"x": "m4rk-data"}});
    let path = format!("/v1/streams/{stream}/comments");
    post(pod.public, &path, &gift).await;
    post(pod.public, &path, &json!({"kind": "m4rk-body"})).await;
    let asked = format!("{path}?token=m4rk-token&after=m4rk-body");
    request(pod.public, "GET", &asked, &[("authorization", "Bearer m4rk-token")], b"").await;
    redis.cli(&["PUBLISH", &format!("ff:{{{stream}}}"), "m4rk-body"]);
    let skipped = pod.logged(&["payload on a stream's channel skipped"], PATIENCE).await;
    assert!(skipped.contains(r#""shard":"a""#), "{skipped}");
    redis.crash();
    viewer.post(json!({"body": "m4rk-body"})).await;
    drop(viewer);
    pod.signal(Signal::Term);
    pod.exit(PATIENCE).await;
    let lines = pod.log_lines();
    assert!(lines.len() > 10 && lines.iter().any(|line| line.contains(&stream)), "there is a log: {lines:?}");
    for line in &lines {
        assert!(MARKS.iter().all(|mark| !line.contains(mark)), "{line}");
        // The shard's own address may be told; clients have ports of their own.
        let tells_address = line.contains("127.0.0.1") && !line.contains(&redis.port().to_string());
        assert!(!tells_address, "{line}");
    }
}

/// Symptom: docs/alerts.md sends people to look for the shard's name, and the line of a repair had none.
#[tokio::test]
async fn the_line_of_a_repair_names_its_shard_and_stream() {
    let (redis, stream) = (RedisServer::start(), stream_for("repair"));
    let pod = Pod::start(&[("FANFARE_SHARDS", &format!("a={}", redis.url()))]);
    let mut viewer = Join::new(&pod, &stream).open().await;
    viewer.say("of the history that is lost").await;
    redis.cli(&["FLUSHALL"]);
    viewer.say("of the next one").await;
    let line = pod.logged(&["stream history replaced by another one"], PATIENCE).await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["shard"], &line["stream"]), (&"a".into(), &stream.as_str().into()), "{line}");
}

/// Lines are JSON, and those of a traced post name its trace.
#[tokio::test]
async fn lines_of_a_traced_post_name_its_trace() {
    let (collector, redis, stream) =
        (Collector::start(Otlp::Http, Manner::Takes), RedisServer::start(), stream_for("lines"));
    let (endpoint, shards) = (format!("http://{}", collector.address), format!("a={}", redis.url()));
    let pod = Pod::start(&[
        ("FANFARE_SHARDS", &shards),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ]);
    eventually("the shard is up", PATIENCE, async || {
        (pod.probe("/ready").await.json()["shards"]["a"]["up"] == true).then_some(())
    })
    .await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let answer =
        post(pod.public, &format!("/v1/streams/{stream}/comments"), &json!({"kind": "follow"})).await;
    answer.assert_problem(503, "shard_unavailable");
    let line = pod.logged(&["the shard refused a call"], PATIENCE).await;
    let line: Value = serde_json::from_str(&line).unwrap();
    let span = eventually("the post's span", PATIENCE, async || collector.taken().spans("post").pop()).await;
    let trace: String = span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&line["level"], &line["span"]["trace_id"]), (&"ERROR".into(), &trace.into()), "{line}");
}

/// A flood of what nobody understands: no more than a hundred lines in any second, and the others are counted.
#[tokio::test]
async fn a_flood_of_bad_frames_is_a_hundred_lines_a_second() {
    let pod = Pod::start(&[("RUST_LOG", "debug")]);
    let stream = stream_for("flood");
    let mut viewers = Vec::new();
    for _ in 0..4 {
        viewers.push(Join::new(&pod, &stream).open().await);
    }
    let begin = Instant::now();
    let mut sent = 0;
    let dropped = async || {
        let scrape = Scrape::of(&pod).await;
        scrape.sum("fanfare_telemetry_dropped_total", &["signal=\"logs\""]) > 0.0
    };
    // A slow machine takes more time to be flooded.
    while begin.elapsed() < Duration::from_millis(2_500) || (begin.elapsed() < PATIENCE && !dropped().await) {
        for viewer in &mut viewers {
            for _ in 0..50 {
                viewer.send("{").await;
            }
            viewer.ping().await;
            viewer.log.clear();
            sent += 50;
        }
    }
    assert!(dropped().await, "{sent} were sent");
    pod.logged(&["log lines were left out"], PATIENCE).await;
    let mut seconds = BTreeMap::<String, usize>::new();
    for line in pod.log_lines() {
        let line: Value = serde_json::from_str(&line).unwrap();
        let second = line["timestamp"].as_str().unwrap()[.."2026-01-01T00:00:00".len()].to_owned();
        *seconds.entry(second).or_default() += 1;
    }
    assert!(seconds.values().any(|lines| *lines >= 50), "there was a flood: {sent} sent, {seconds:?}");
    assert!(seconds.values().all(|lines| *lines <= 100), "{seconds:?}");
}

/// A process that ends with the test, however that goes.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nobody reads standard output and error, and both are full: the pod starts, serves, and leaves in time.
#[tokio::test]
async fn a_blocked_standard_error_stalls_nobody() {
    let (_reader, mut full) = io::pipe().unwrap();
    // What a pipe holds (pipe(7)).
    full.write_all(&[b'x'; 65_536]).unwrap();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (public, ops) = (free(), free());
    let child = Command::new(env!("CARGO_BIN_EXE_fanfare"))
        .env_clear()
        .envs([("FANFARE_LISTEN", public.to_string()), ("FANFARE_OPS_LISTEN", ops.to_string())])
        .envs([("FANFARE_SETTLE", "0s"), ("FANFARE_DRAIN", "1s"), ("RUST_LOG", "trace")])
        .stdin(Stdio::null())
        .stdout(full.try_clone().unwrap())
        .stderr(full)
        .spawn();
    let mut pod = Owned(child.unwrap());
    eventually("the pod is ready", PATIENCE, async || {
        let answer = testkit::try_request(ops, "GET", "/ready", &[], b"").await?;
        (answer.status == 200).then_some(())
    })
    .await;
    for _ in 0..2_000 {
        assert_eq!(get(public, "/v1/streams/blocked").await.status, 200);
    }
    let term = format!("kill -TERM {}", pod.0.id());
    assert!(Command::new("sh").args(["-c", &term]).status().unwrap().success());
    let ended = eventually("the pod leaves", PATIENCE, async || pod.0.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(0));
}
