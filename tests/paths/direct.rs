//! Viewers that read slowly but steadily, without a proxy.

use testkit::{Join, Pod, stream_for};

use super::{Feed, assert_accounted_for, read_until_skipped};

/// Symptom: viewers that read 4 or 16 KiB each second of a stream of 55 KB/s were closed with 3008 within a minute.
/// Cause: a receive window reopens in big steps, so that a socket takes no byte for 16 to 26 s although its viewer reads
/// all the time; 10 s were the end. With a small window the third fall off the tape within a minute was the end.
#[tokio::test]
async fn a_viewer_that_reads_slowly_but_steadily_is_told_skipped_and_stays() {
    let (pod, stream) = (Pod::start(&[]), stream_for("steady"));
    let feed = Feed::new(&pod, &stream, 56);
    let mut small = Join::new(&pod, &stream).short_of_buffer().reading(16 * 1024).open().await;
    // As large as a socket's buffer is at first. Left to itself it grows when a busy machine reads late and then much at
    // once, and with it the step. At this rate a step is 20 s: twice what was the end, and half of what is.
    let mut large = Join::new(&pod, &stream).with_receive_buffer(64 * 1024).reading(6 * 1024).open().await;
    feed.during(async {
        tokio::join!(read_until_skipped(&mut small, 4), read_until_skipped(&mut large, 2));
    })
    .await;
    assert_accounted_for(&small);
    assert_accounted_for(&large);
}
