//! How fast a link is; started by hand, in a release build, with nothing beside it:
//! `cargo test --release --lib speed -- --ignored --nocapture --test-threads 1`.
//!
//! Aims: 20,000 posts/s through one link, 15 µs a post in Redis; 200,000 watched messages/s without loss.

use std::time::Instant;

use futures_util::StreamExt;

use super::*;

const POSTS: u32 = 200_000;

fn body() -> String {
    "x".repeat(150)
}

async fn posts(name: &str, post: impl Fn(u32) -> Post) {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let streams: Vec<StreamId> = (0..100).map(|n| stream(&format!("s{n}"))).collect();
    for round in 1..=3 {
        server.cli(&["CONFIG", "RESETSTAT"]);
        let began = Instant::now();
        let done = futures_util::stream::iter(0..POSTS)
            .map(|n| kept.link.publish(&streams[n as usize % streams.len()], post(round * POSTS + n)))
            .buffer_unordered(256)
            .filter(|result| std::future::ready(result.is_ok()))
            .count()
            .await;
        let rate = done as f64 / began.elapsed().as_secs_f64();
        let stats = server.cli(&["INFO", "commandstats"]);
        let call = stats.lines().find(|line| line.starts_with("cmdstat_fcall:")).unwrap_or_default();
        println!("{name}, round {round}: {done} of {POSTS} posts, {rate:.0}/s; {call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark"]
async fn speed_of_posts() {
    let body = body();
    posts("without a key", |_| a_post(&body)).await;
    posts("with a key", |n| Post { fragment: a_post(&body).fragment, ..keyed("v:u1", &n.to_string(), 1) })
        .await;
}

/// Publishes at a steady rate from inside Redis, in steps of 5 ms.
async fn publish_at(link: &Link, per_second: u32, seconds: u32) {
    let script = "for i = 1, ARGV[2] do redis.call('PUBLISH', 'ff:{s' .. (i % 100) .. '}', ARGV[1]) end";
    let envelope = format!(
        "1 1 abcdefgh 7 {0} {0} 1700000000123 1700000000100 comment\n{1}",
        "A".repeat(16),
        "x".repeat(200)
    );
    let client = link.0.posting.wire.life().await.unwrap().client;
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    for _ in 0..seconds * 200 {
        ticks.tick().await;
        let args = vec![script.to_owned(), "0".into(), envelope.clone(), (per_second / 200).to_string()];
        let eval =
            fred::interfaces::ClientLike::custom::<Value, _>(&client, connection::command("EVAL"), args);
        eval.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark"]
async fn speed_of_hearing() {
    let server = RedisServer::start();
    let mut kept = Kept::up(&server).await;
    let streams: Vec<StreamId> = (0..100).map(|n| stream(&format!("s{n}"))).collect();
    kept.link.subscribe(&streams).await.unwrap();
    let link = kept.link.clone();
    for rate in [100_000, 150_000, 200_000, 250_000, 300_000, 400_000] {
        let before = link.health();
        let began = Instant::now();
        let mut taken = 0u64;
        {
            let publishing = publish_at(&link, rate, 3);
            tokio::pin!(publishing);
            loop {
                tokio::select! {
                    Some(event) = kept.events.recv() => taken += u64::from(matches!(event, Event::Message { .. })),
                    () = &mut publishing => break,
                }
            }
        }
        let spent = began.elapsed().as_secs_f64();
        while let Ok(Some(_)) = tokio::time::timeout(Duration::from_millis(300), kept.events.recv()).await {
            taken += 1;
        }
        let after = link.health();
        let offered = f64::from(rate / 200 * 600) / spent;
        println!(
            "offered {offered:.0}/s: took {taken}, lost {}, reconnects {}",
            after.overrun - before.overrun,
            after.connections - before.connections
        );
    }
}
