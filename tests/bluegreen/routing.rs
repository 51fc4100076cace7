//! Who gets which track.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use testkit::{Join, Viewer, request_of_other, stream_for};

use super::stage::Stage;

fn track(viewer: &Viewer) -> &str {
    viewer.hello()["track"].as_str().unwrap()
}

/// The tracks of so many new viewers.
async fn tracks(join: &Join, count: usize) -> BTreeMap<String, usize> {
    let mut tracks = BTreeMap::new();
    for viewer in join_all((0..count).map(|_| join.open())).await {
        *tracks.entry(track(&viewer).to_owned()).or_default() += 1;
    }
    tracks
}

fn all(track: &str, count: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([(track.to_owned(), count)])
}

/// Everybody sees blue; a developer sees green by a header or by the query, and so does a post by REST.
#[tokio::test(flavor = "multi_thread")]
async fn a_developer_sees_green_before_anybody_else() {
    let stage = Stage::start(&[]).await;
    let stream = stream_for("developer");
    let join = stage.join(&stream);
    assert_eq!(tracks(&join, 40).await, all("blue", 40));
    assert_eq!(tracks(&join.clone().with_header("x-fanfare-track", "green"), 10).await, all("green", 10));
    assert_eq!(tracks(&join.clone().with_query("track", "green"), 10).await, all("green", 10));
    assert_eq!(tracks(&join.clone().with_header("x-fanfare-track", "blue"), 10).await, all("blue", 10));
    for (name, value) in [("x-fanfare-track", "greenish"), ("x-fanfare-track", ""), ("x-other", "green")] {
        assert_eq!(
            tracks(&join.clone().with_header(name, value), 5).await,
            all("blue", 5),
            "{name}: {value}"
        );
    }
    // Both tracks are one service: what is posted on one is seen on the other.
    let mut blue = join.open().await;
    let mut green = join.clone().with_query("track", "green").open().await;
    green.say("from green").await;
    blue.comments(1).await;
    assert_eq!((track(&blue), track(&green)), ("blue", "green"));
}

/// A name that the VirtualService does not have leads nowhere, and REST goes the way of sockets.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_public_name_leads_to_pods() {
    let stage = Stage::start(&[]).await;
    let path = format!("/v1/streams/{}/comments", stream_for("names"));
    for (name, status) in [("127.0.0.1", 200), ("127.0.0.1:443", 200), ("other.example.com", 404)] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
        let answer = testkit::exchange(stage.public(), request.as_bytes()).await.unwrap();
        assert_eq!(answer.status, status, "{name}: {answer:?}");
    }
    let ops = request_of_other(stage.public(), "GET", "/ready", &[], b"").await;
    assert_eq!(ops.status, 404, "the ops routes are not public: {ops:?}");
}

/// Weights choose for new sockets, near enough, and leave open ones alone; and back.
#[tokio::test(flavor = "multi_thread")]
async fn weights_shift_new_viewers_and_leave_the_others() {
    let stage = Stage::start(&[]).await;
    let stream = stream_for("weights");
    let join = stage.join(&stream);
    let mut early = join_all((0..10).map(|_| join.open())).await;
    stage.weights(50, 50).await;
    let half = tracks(&join, 200).await;
    println!("weights 50 and 50: {half:?}");
    // Four standard deviations.
    assert!((72..=128).contains(&half["green"]), "{half:?}");
    stage.weights(0, 100).await;
    assert_eq!(tracks(&join, 40).await, all("green", 40));
    let blue = join.clone().with_header("x-fanfare-track", "blue");
    assert_eq!(tracks(&blue, 5).await, all("blue", 5), "the old track is to be seen still");
    for viewer in &mut early {
        viewer.ping().await;
        assert_eq!(track(viewer), "blue", "and its viewers stay");
    }
    stage.weights(100, 0).await;
    assert_eq!(tracks(&join, 40).await, all("blue", 40), "back");
}

/// Symptom: with three pods of which one is full, 32 to 36 of 60 viewers were refused. Cause: LEAST_REQUEST prefers the
/// pod that refuses, since it has the fewest requests under way, and a 503 was not tried elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_pod_refuses_nobody_while_others_have_room() {
    let stage = Stage::start(&[]).await;
    let stream = stream_for("full");
    let full = stage.start_pod("blue-full", &[("FANFARE_MAX_VIEWERS", "1")]);
    let _first = Join::new(&full, &stream).open().await;
    stage.endpoints.add_unprobed("blue-full", &full);
    stage.has_ready(3, 2).await;
    let join = stage.join(&stream);
    let mut viewers = Vec::new();
    // One after the other, so that the balancer sees the others' sockets; `open` fails for a handshake that is refused.
    for _ in 0..60 {
        viewers.push(join.open().await);
    }
    assert_eq!(viewers.iter().filter(|viewer| viewer.hello()["pod"] == "blue-full").count(), 0);
    let retries = stage.envoy.retries("blue").await;
    assert!(retries > 0, "the full pod was never asked");
    println!("0 of 60 viewers were refused; the gateway asked another pod {retries} times");
}
