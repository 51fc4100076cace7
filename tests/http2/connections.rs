//! What a connection of HTTP/2 may take: time, room and memory.

use std::{
    fs,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use testkit::{Http2, Join, PATIENCE, Pod, eventually, pause, stream_for};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

/// The beginning of each connection (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// G14: a connection that does not begin in time ends, long before the idle time, and so does one that begins wrongly.
#[tokio::test]
async fn g14_connections_that_do_not_begin_end() {
    let (pod, stream) = (Pod::start_private(&[("FANFARE_KEEP_ALIVE", "10m")]), stream_for("preface"));
    let mut control = Join::new(&pod, &stream).open_on(&Http2::connect(pod.public).await).await;
    let begins = [&b""[..], &PREFACE[..1], &PREFACE[..20], b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", &[0; 100]];
    join_all(begins.map(async |begin| {
        let mut connection = Http2::silent(pod.public).await;
        connection.write_all(begin).await.unwrap();
        let mut heard = Vec::new();
        let end = timeout(PATIENCE, connection.read_to_end(&mut heard)).await;
        assert!(end.is_ok(), "{begin:?} holds the connection");
    }))
    .await;
    control.say("after them").await;
    assert_eq!(pod.probe("/ready").await.json()["counts"]["panics"], 0);
}

/// Connections with viewers are counted as viewers, and not among the other connections, of which there may be half as
/// many as open files.
#[tokio::test(flavor = "multi_thread")]
async fn connections_with_viewers_take_no_room_of_others() {
    const VIEWERS: usize = 120;
    let pod = Pod::start_private_after("ulimit -n 200", &[]);
    let stream = stream_for("room");
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS {
        viewers.push(Join::new(&pod, &stream).open_on(&Http2::connect(pod.public).await).await);
    }
    pod.has_viewers(VIEWERS as u64).await;
    assert_eq!(pod.get("/v1/streams/a").await.status, 200);
    viewers[0].say("to all").await;
    join_all(viewers.iter_mut().map(|viewer| viewer.comments(1))).await;
    // And they are counted again once their viewers have left.
    drop(viewers);
    pod.deserted().await;
    pod.ready().await;
}

fn resident_kib(pod: &Pod) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", pod.pid)).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// README "What is promised", bounded memory: viewers that read nothing cost a bounded buffer each, whether their stream
/// is full or their connection; who reads beside them on the same connection misses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn viewers_that_read_nothing_cost_little() {
    const STALLED: usize = 60;
    let (pod, stream) = (Pod::start_private(&[]), stream_for("stalled"));
    let began = Instant::now();
    let (mut stalled, mut reading) = (Vec::new(), Vec::new());
    for _ in 0..STALLED / 12 {
        let connection = Http2::connect(pod.public).await;
        for _ in 0..12 {
            stalled.push(Join::new(&pod, &stream).open_on(&connection).await);
        }
        reading.push(Join::new(&pod, &stream).open_on(&connection).await);
    }
    let body = "\u{1F600}".repeat(400);
    // A few at a time, so that those who read keep up on a busy machine.
    let mut fill = async |count: usize| {
        for _ in 0..count / 50 {
            let read = join_all(reading.iter_mut().map(async |viewer| {
                let so_many = viewer.seen.len() + 50;
                viewer.comments(so_many).await;
            }));
            let ((), _) = tokio::join!(pod.fill(&stream, 50, &body), read);
        }
    };
    // The tape, and what the allocator keeps, are there before it is measured.
    fill(500).await;
    let before = resident_kib(&pod);
    fill(1_500).await;
    let grown = resident_kib(&pod).saturating_sub(before);
    println!("{STALLED} stalled viewers: {grown} KiB more after 2.7 MB");
    assert!(grown < STALLED as u64 * 256, "{grown} KiB for {STALLED} viewers that read nothing");
    for viewer in &reading {
        viewer.assert_contiguous(1);
    }
    // On a busy machine it has missed its pings as well, and is closed instead.
    let late = &mut stalled[0];
    while !late.has("skipped") {
        if !late.read().await {
            assert!(began.elapsed() > Duration::from_secs(30), "{:?}", late.closed);
            break;
        }
    }
}

/// A client that takes no answer gets no others made, and no more than a stream's share of memory.
#[tokio::test]
async fn answers_that_are_not_taken_end_their_streams() {
    let pod = Pod::start_private(&[]);
    let connection = Http2::with_window(pod.public, 0).await;
    let answer = connection.ask_in_part("GET", "/").await;
    assert_eq!(answer.status(), 200);
    let mut inbound = answer.into_body();
    // The window stays shut; the other streams go on.
    let end = async {
        let error = inbound.data().await.expect("an end").expect_err("a reset");
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    };
    timeout(PATIENCE, end).await.expect("the stream ends");
    assert!(connection.takes_streams().await);
    pause(Duration::from_millis(100)).await;
    eventually("the connection serves", PATIENCE, async || connection.takes_streams().await.then_some(()))
        .await;
}
