//! Viewers on slow paths: with a socket of their own, behind a proxy that takes everything, and behind a real one.

mod direct;
mod nginx;
mod proxied;

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use testkit::{Pod, Viewer, pause};

/// The time from one batch of comments to the next.
const EVERY: Duration = Duration::from_millis(250);

/// Comments of about 1 KB each, at an even rate.
struct Feed<'a> {
    pod: &'a Pod,
    stream: &'a str,
    /// The comments of a batch.
    batch: usize,
    /// The time of each batch.
    posted: RefCell<Vec<Instant>>,
}

impl<'a> Feed<'a> {
    /// So many comments a second, a multiple of four; no other comments may be on the stream.
    const fn new(pod: &'a Pod, stream: &'a str, a_second: usize) -> Self {
        Self { pod, stream, batch: a_second / 4, posted: RefCell::new(Vec::new()) }
    }

    /// Posts until the work is done.
    async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let body = "\u{1F600}".repeat(210);
        let posting = async {
            loop {
                self.posted.borrow_mut().push(Instant::now());
                self.pod.fill(self.stream, self.batch, &body).await;
                pause(EVERY).await;
            }
        };
        tokio::select! {
            done = work => done,
            () = posting => unreachable!("it has no end"),
        }
    }

    /// The age of the newest comment that the viewer has read.
    fn delay(&self, viewer: &Viewer) -> Duration {
        let Some(newest) = viewer.seen.last() else { return Duration::ZERO };
        let batch = usize::try_from(newest.seq - 1).unwrap() / self.batch;
        self.posted.borrow()[batch].elapsed()
    }
}

/// Reads a frame; the viewer must stay.
async fn read(viewer: &mut Viewer) {
    let read = viewer.try_read(Duration::from_secs(60)).await;
    assert_eq!(read, Some(true), "closed with {:?} after {} comments", viewer.closed, viewer.seen.len());
}

/// Reads until the viewer was told so often that it missed something.
async fn read_until_skipped(viewer: &mut Viewer, times: usize) {
    let begun = Instant::now();
    while viewer.all("skipped").count() < times {
        assert!(begun.elapsed() < Duration::from_secs(240), "{} skips", viewer.all("skipped").count());
        read(viewer).await;
    }
}

/// Each comment was read once and in order, or was counted in a `skipped`.
fn assert_accounted_for(viewer: &Viewer) {
    let mut next = None;
    for frame in &viewer.log {
        if frame.is("skipped") {
            let count = frame.json["count"].as_u64().unwrap();
            next = next.map(|next| next + count);
        }
        for comment in frame.json["comments"].as_array().into_iter().flatten() {
            let seq = comment["seq"].as_u64().unwrap();
            assert_eq!(seq, next.unwrap_or(seq), "no hole but one that was told");
            next = Some(seq + 1);
        }
    }
}
