//! Pods that take no viewers, and pods that leave.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use testkit::{Crowd, Join, Pod, Viewer, pause, stream_for};

use super::stage::Stage;

/// As many as fill a pod.
const FULL: usize = 10;

fn pod_of(viewer: &Viewer) -> String {
    viewer.hello()["pod"].as_str().unwrap().to_owned()
}

/// A pod whose `/ready` fails gets no new sockets and keeps its old ones; when it is ready again, it gets new ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_not_ready_gets_no_new_sockets_and_keeps_its_old_ones() {
    let full = FULL.to_string();
    let stage = Stage::start(&[("FANFARE_MAX_VIEWERS", &full)]).await;
    let stream = stream_for("unready");
    // Straight to the pod, so that it is this one that is full; one of them comes through the gateway.
    let through = stage.join(&stream);
    let mut old = through.open().await;
    let name = pod_of(&old);
    let pod: &Pod = if name == "blue-1" { &stage.blue[0] } else { &stage.blue[1] };
    let direct = Join::new(pod, &stream);
    let filling = join_all((0..FULL - 1).map(|_| direct.open())).await;
    stage.has_ready(1, 2).await;
    assert_eq!(pod.probe("/ready").await.status, 503);
    for viewer in join_all((0..FULL / 2).map(|_| through.open())).await {
        assert_ne!(pod_of(&viewer), name, "a new viewer goes elsewhere");
    }
    old.say("still here").await;
    assert!(old.closed.is_none() && filling.len() == FULL - 1);
    drop(filling);
    stage.has_ready(2, 2).await;
    // They stay, so that each next one goes to the pod with fewer.
    let new = join_all((0..FULL).map(|_| through.open())).await;
    let pods: BTreeSet<_> = new.iter().map(pod_of).collect();
    assert!(pods.contains(&name), "it is ready, and gets viewers again: {pods:?}");
}

/// Blue leaves under load when the weights are shifted: each of its viewers is asked, opens a socket to green first, and
/// misses nothing; nobody is cut.
#[tokio::test(flavor = "multi_thread")]
async fn the_drain_of_blue_moves_its_viewers_to_green_with_nothing_missing() {
    let stage = Stage::start(&[("FANFARE_SETTLE", "2s"), ("FANFARE_DRAIN", "5s")]).await;
    let stream = stream_for("drain");
    let crowd = Crowd { stream: &stream, viewers: 100, posts_per_second: 20 };
    let release = async {
        pause(Duration::from_secs(2)).await;
        stage.weights(0, 100).await;
        pause(Duration::from_secs(1)).await;
        stage.drain_blue().await;
        pause(Duration::from_secs(1)).await;
    };
    let (ledger, journeys) = crowd.run(stage.public(), stage.public(), release).await;
    ledger.assert_nothing_lost();
    println!(
        "{} viewers moved from blue to green; {} posts, nothing missing",
        journeys.len(),
        ledger.posts.len()
    );
    for journey in &journeys {
        let [from, to] = &journey.pods[..] else { panic!("more or less than one move: {journey:?}") };
        assert!(from.starts_with("blue") && to.starts_with("green"), "{journey:?}");
        assert_eq!((journey.cuts, &journey.asked[..]), (0, &["drain".to_owned()][..]), "{journey:?}");
    }
}
