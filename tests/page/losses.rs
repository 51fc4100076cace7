//! The page while connections are cut, pods go, and streams are faster than their viewers.

use std::time::{Duration, Instant};

use testkit::{PATIENCE, Pod, RedisServer, Relay, Signal, stream_for};

use super::{comments, join, live, numbers, record_states, say, shown, texts};

/// G5 on the screen: whatever is cut, every comment stands in the list once, in order, and what was typed meanwhile too.
#[tokio::test]
async fn g5_a_cut_connection_shows_nothing_twice_and_misses_nothing() {
    let (pod, stream) = (Pod::shared(), stream_for("cut"));
    let relay = Relay::to(pod.public).await;
    let tab = join(relay.address, &stream, "Ann").await;
    for number in 0..60 {
        pod.post(&stream, &number.to_string()).await;
        if number % 25 == 10 {
            shown(&tab, &number.to_string()).await;
            relay.cut();
        }
        if number == 20 {
            say(&tab, "typed while away").await;
        }
        if number == 30 {
            live(&tab).await;
        }
    }
    shown(&tab, "59").await;
    shown(&tab, "typed while away").await;
    // Away for more than what a newcomer is shown.
    relay.cut_off();
    pod.fill(&stream, 100, " later").await;
    relay.lead_to(pod.public);
    shown(&tab, "99 later").await;
    let (own, others): (Vec<_>, Vec<_>) =
        comments(&tab).await.into_iter().partition(|text| text.starts_with("typed"));
    let all: Vec<_> =
        numbers(0..60).into_iter().chain((0..100).map(|number| format!("{number} later"))).collect();
    assert_eq!((own.len(), others), (1, all));
    let seqs = "const seqs = [...document.querySelectorAll('#list .entry')].map((entry) => Number(entry.dataset.seq));
        return seqs.every((seq, i) => seq === i + 1)";
    assert_eq!(tab.run(seqs).await, true, "in the stream's order");
    assert_eq!(texts(&tab, "#reconnects").await, ["3"]);
    tab.close().await;
}

/// G4 on the screen: a server that forgot everything is a marker; what stood there is shown as past, what comes, once.
#[tokio::test]
async fn g4_a_restarted_server_is_a_marker_and_later_comments_stand_once() {
    let (before, stream) = (Pod::start(&[]), stream_for("restart"));
    let relay = Relay::to(before.public).await;
    let tab = join(relay.address, &stream, "Ann").await;
    before.fill(&stream, 5, "").await;
    shown(&tab, "4").await;
    let after = Pod::start(&[]);
    relay.lead_to(after.public);
    before.signal(Signal::Kill);
    relay.cut();
    tab.until("a marker", "document.querySelector('#list .marker.reset')").await;
    for number in 5..8 {
        after.post(&stream, &number.to_string()).await;
    }
    shown(&tab, "7").await;
    assert_eq!(comments(&tab).await, numbers(0..8));
    assert_eq!(texts(&tab, "#list .entry.past .body").await, numbers(0..5));
    assert_eq!(texts(&tab, "#list .marker.reset ~ .entry .body").await, numbers(5..8));
    tab.close().await;
}

/// G11 on the screen: at a drain the page has its new connection before it leaves the old one.
#[tokio::test]
async fn g11_the_page_moves_at_a_drain_without_a_gap() {
    let (redis, stream) = (RedisServer::start(), stream_for("move"));
    let shards = format!("a={}", redis.url());
    let pod =
        |name| Pod::start(&[("FANFARE_SHARDS", &shards), ("FANFARE_POD", name), ("FANFARE_DRAIN", "18s")]);
    let (old, new) = (pod("pod-old"), pod("pod-new"));
    let relay = Relay::to(old.public).await;
    let tab = join(relay.address, &stream, "Ann").await;
    record_states(&tab).await;
    relay.lead_to(new.public);
    relay.hold(Some(new.public));
    let asked = Instant::now();
    old.signal(Signal::Term);
    new.has_viewers(1).await;
    // It has asked at the new pod, and hears these from the old one; the new one brings them again.
    new.fill(&stream, 10, "").await;
    shown(&tab, "9").await;
    assert_eq!(texts(&tab, "#pod").await, ["pod-old"]);
    relay.hold(None);
    for number in 10..30 {
        new.post(&stream, &number.to_string()).await;
    }
    tab.until("the page has moved", "document.getElementById('pod').textContent === 'pod-new'").await;
    let moved = asked.elapsed();
    shown(&tab, "29").await;
    assert_eq!(comments(&tab).await, numbers(0..30));
    let states = tab.run("return [...new Set(states)]").await;
    // The old pod closes a viewer that has not gone 5 s after it was asked: a browser on a busy machine takes longer.
    if moved < Duration::from_secs(5) {
        assert_eq!(states, serde_json::json!(["moving", "live"]), "never without a connection");
        assert!(
            texts(&tab, "#list .marker").await.iter().any(|text| text == "Moved to pod-new, nothing missed")
        );
    }
    assert_eq!(old.exit(PATIENCE).await, Some(0));
    tab.close().await;
}

/// README "No silent loss", on the screen: what a slow viewer missed is counted in the list, and nothing else is missing.
#[tokio::test]
async fn what_a_slow_page_missed_stands_in_its_list() {
    let (pod, stream) = (Pod::shared(), stream_for("slow"));
    let relay = Relay::to(pod.public).await;
    let tab = join(relay.address, &stream, "Ann").await;
    relay.hold(Some(pod.public));
    pod.fill(&stream, 4_000, &"x".repeat(100)).await;
    relay.hold(None);
    pod.post(&stream, "last").await;
    shown(&tab, "last").await;
    // The page counts once a second what it received.
    let count = |of: &str| format!("Number(document.getElementById('{of}').dataset.count)");
    let (missed, received) = (count("missed"), count("received"));
    tab.until("each comment received or missed", &format!("{missed} > 0 && {missed} + {received} === 4001"))
        .await;
    tab.close().await;
}

/// README "No silent loss", on the screen: what the history no longer held when the page came back is told as a gap.
#[tokio::test]
async fn what_was_trimmed_while_the_page_was_away_is_told_as_a_gap() {
    let (pod, stream) = (Pod::start(&[("FANFARE_HISTORY_COMMENTS", "20")]), stream_for("trimmed"));
    let relay = Relay::to(pod.public).await;
    let tab = join(relay.address, &stream, "Ann").await;
    pod.post(&stream, "before").await;
    shown(&tab, "before").await;
    // Away until more has come than tape and history hold.
    relay.cut_off();
    pod.fill(&stream, 3_000, "").await;
    relay.lead_to(pod.public);
    shown(&tab, "2999").await;
    let marker = texts(&tab, "#list .marker.loss").await.concat();
    let first = texts(&tab, "#list .marker.loss ~ .entry .body").await;
    let first: usize = first[0].parse().unwrap();
    // `before` is number 1 of the stream, and 0 is number 2.
    assert!(marker.contains(&format!("numbers 2 to {}", first + 1)), "{marker}; then {first}");
    tab.close().await;
}
