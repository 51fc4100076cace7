//! Viewers behind a proxy that hides from the pod that they are slow.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use testkit::{Hoard, Join, Pod, Viewer, stream_for};

use super::{Feed, assert_accounted_for, read, read_until_skipped};
use crate::telemetry::Scrape;

/// The most bytes past the last pong of a viewer that lags.
const MOST_UNREAD: usize = 256 * 1024;
/// Comments of 1 KB a second, and the bytes of them that the slow viewer reads.
const A_SECOND: usize = 32;
const READS: usize = 16 * 1024;

/// Opens a slow viewer and reads until it was told `skipped`, and then on for a while: it stays, and is late only a bit.
pub(super) async fn watch_slowly(pod: &Pod, stream: &str, through: SocketAddr, check: impl Fn()) -> Viewer {
    let (feed, joined) = (Feed::new(pod, stream, A_SECOND), Instant::now());
    let mut viewer = Join::at(through, stream).short_of_buffer().reading(READS).open().await;
    feed.during(async {
        read_until_skipped(&mut viewer, 1).await;
        let (begun, mut longest) = (Instant::now(), Duration::ZERO);
        while begun.elapsed() < Duration::from_secs(15) || viewer.all("skipped").count() < 2 {
            assert!(begun.elapsed() < Duration::from_secs(120), "it is told more than once");
            read(&mut viewer).await;
            longest = longest.max(feed.delay(&viewer));
            check();
        }
        println!("behind {through} comments were at most {longest:?} late");
        // A viewer that reads half of its stream, and skips nothing, is late by half of the time that it watches.
        assert!(longest < joined.elapsed() / 4, "{longest:?}");
    })
    .await;
    assert_accounted_for(&viewer);
    viewer
}

/// Symptom: a viewer behind a proxy that read half of its stream saw comments ever later, was never told `skipped`, counted
/// as prompt, and was closed with 3012 although it answered each ping; a viewer that did not read at all cost the proxy
/// everything that the stream had. Cause: the proxy takes bytes that the viewer has not read, and only the socket was asked.
#[tokio::test]
async fn a_proxy_does_not_hide_a_slow_viewer() {
    let (pod, stream) = (Pod::start(&[]), stream_for("hoarded"));
    let (slow, stalled) = (Hoard::before(pod.public).await, Hoard::before(pod.public).await);
    let _stalled = Join::at(stalled.address, &stream).short_of_buffer().open().await;
    let held = std::cell::Cell::new(0);
    let viewer = watch_slowly(&pod, &stream, slow.address, || {
        assert!(slow.held() <= MOST_UNREAD, "the proxy holds {} bytes", slow.held());
        if held.get() == 0 {
            held.set(stalled.held());
        }
        assert_eq!(stalled.held(), held.get(), "a viewer that stalls is sent nothing more");
    })
    .await;
    assert!(viewer.closed.is_none());
    let metrics = Scrape::of(&pod).await;
    let pongs = metrics.sum("fanfare_viewer_path_duration_seconds_count", &[]);
    let in_time = metrics.sum("fanfare_viewer_path_duration_seconds_bucket", &[r#"le="2""#]);
    assert!(pongs > in_time, "none of {pongs} pongs was late");
    assert!(metrics.sum("fanfare_deliveries_total", &[r#"seat="lagging""#]) > 0.0, "it was not prompt");
}
