//! Answers that are never read.

use std::{fs, net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use testkit::{PATIENCE, Peer, Pod, pause, stream_for};
use tokio::time::timeout;

use super::keeping::post_to;

/// The time in which a client that reads nothing is cut: 30 s, and a loaded machine's delay.
const CUT_WITHIN: Duration = Duration::from_secs(120);

/// The most bytes that the kernel holds for one connection of a server: written and not acknowledged.
fn most_unacknowledged(server: SocketAddr) -> u64 {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{:04X}", server.port());
    let rows = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let queues = rows.filter(|row| row[1].ends_with(&local)).filter_map(|row| {
        let (written, _) = row[4].split_once(':')?;
        u64::from_str_radix(written, 16).ok()
    });
    queues.max().unwrap_or(0)
}

/// Symptom: 200 clients that sent requests and read no answer held 299 MiB of kernel memory, and were still connected
/// after 74 s. Cause: no write had a deadline, and the kernel's buffer grew with each answer.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_never_read_hold_little_and_end() {
    let pods = [Pod::start(&[]), Pod::start_private(&[])];
    join_all(pods.iter().map(|pod| async {
        let most = most_held_until_cut(pod).await;
        assert!((1..=256 * 1024).contains(&most), "{most} bytes of one connection");
        assert_eq!(pod.get("/v1/streams/a").await.status, 200);
    }))
    .await;
}

/// Twenty clients that read nothing send requests until all of them are cut; returns the most bytes that the kernel held
/// for one.
async fn most_held_until_cut(pod: &Pod) -> u64 {
    let request = b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    let mut peers = join_all((0..20).map(|_| Peer::short_of_buffer(pod.public))).await;
    let cut = join_all(peers.iter_mut().map(|peer| peer.send_until_cut(&request)));
    let mut most = 0;
    let watch = async {
        loop {
            most = most.max(most_unacknowledged(pod.public));
            pause(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        cut = timeout(CUT_WITHIN, cut) => assert!(cut.is_ok(), "some are still connected"),
        () = watch => {}
    }
    most
}

/// Symptom: a client that read nothing had all of its pipelined posts made, as long as it sent some. Cause: a request
/// was answered although the answers before it could not be written.
#[tokio::test(flavor = "multi_thread")]
async fn requests_behind_answers_that_are_not_read_are_not_made() {
    let pod = Pod::start(&[]);
    let stream = stream_for("pipelined");
    let mut peer = Peer::short_of_buffer(pod.public).await;
    let posts = post_to(&stream).repeat(10_000);
    assert!(timeout(Duration::from_secs(5), peer.send_until_cut(posts.as_bytes())).await.is_err());
    let path = format!("/v1/streams/{stream}");
    let made = async || pod.get(&path).await.json()["comments"].as_u64().unwrap();
    // A busy machine may still be at those whose answers fit; then no more are made.
    let first = testkit::eventually("no more are made", PATIENCE, async || {
        let before = made().await;
        pause(Duration::from_secs(1)).await;
        (before > 0 && made().await == before).then_some(before)
    });
    let first = first.await;
    assert!(first < 1_000, "{first} posts");
    // What it reads makes room for others.
    for _ in 0..first {
        let head = timeout(PATIENCE, peer.head()).await.unwrap().expect("an answer");
        assert!(head.contains("201"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        peer.skip(length.parse().unwrap()).await;
    }
    testkit::eventually("more posts", PATIENCE, async || (made().await > first).then_some(())).await;
}
