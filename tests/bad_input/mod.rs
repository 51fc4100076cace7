//! Bad input: tables of named cases, each with its exact answer, beside a control viewer who must not notice.
//!
//! They show the promise G14.

mod catalogue;
mod frames;
mod handshakes;
mod identity;
mod json;
mod rest;
mod slow;
mod streams;
mod text;
mod tokens;

use std::sync::Arc;

use testkit::{Join, Pod, Viewer, stream_for};

/// A viewer who behaves, on the stream on which others do not.
struct Control {
    pod: Arc<Pod>,
    stream: String,
    viewer: Viewer,
}

impl Control {
    async fn begin(subject: &str) -> Self {
        Self::at(Pod::shared(), subject).await
    }

    /// Beside a viewer of any pod.
    async fn at(pod: Arc<Pod>, subject: &str) -> Self {
        let stream = stream_for(subject);
        let mut viewer = Join::new(&pod, &stream).named("control").open().await;
        viewer.say("before").await;
        Self { pod, stream, viewer }
    }

    /// Posts and gets everything in order as if nothing had happened; then tells how many cases there were.
    async fn unharmed(mut self, what: &str, cases: usize, least: usize) {
        self.viewer.say("after").await;
        self.viewer.ping().await;
        let said = |viewer: &Viewer| viewer.seen.last().is_some_and(|seen| seen.body == "after");
        self.viewer.until("its own last comment", said).await;
        self.viewer.assert_contiguous(1);
        let probe = self.pod.probe("/ready").await;
        assert_eq!((probe.status, probe.json()["counts"]["panics"].clone()), (200, 0.into()));
        println!("{what}: {cases} cases");
        assert!(cases >= least, "{what}: {cases} of {least} cases");
    }
}
