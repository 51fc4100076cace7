//! Hub, keepers and shards together, without one socket: on a real Redis, and on the embedded shard with a paused clock.

mod census;
mod house;
mod keeper;
mod silence;
mod storms;

#[expect(unreachable_pub, dead_code, reason = "shared with the tests outside the crate")]
#[path = "../../../tests/world"]
pub(super) mod world {
    pub mod redis;
    pub(in crate::shards) mod relay;

    mod patience;
    pub(in crate::shards) use patience::eventually;

    /// Waits, where the time itself is the matter.
    pub(in crate::shards) async fn pause(time: std::time::Duration) {
        tokio::time::sleep(time).await;
    }
}
