//! A minute of what `make chaos` does for ten, with fewer viewers.

use std::time::Duration;

use testkit::chaos::{self, Kind};

/// Each of these leads the pods another way: a shard dies, hangs, forgets, cuts, refuses; a pod dies and leaves.
const KINDS: &[Kind] = &[
    Kind::RedisKilled,
    Kind::RedisFrozen,
    Kind::RedisFlushed,
    Kind::RedisFailedOver,
    Kind::FunctionsFlushed,
    Kind::SubscribersKilled,
    Kind::BuffersCut,
    Kind::LinkStalled,
    Kind::LinkCut,
    Kind::PodKilled,
    Kind::PodDrained,
    Kind::ViewersCut,
    Kind::ViewersStalled,
];

/// G1 to G7, G9: no promise is broken, and everything heals; how soon is for `make chaos` to say, on a machine of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_chaos_breaks_no_promise() {
    let plan = chaos::Plan {
        seed: 1,
        time: Duration::from_secs(45),
        viewers: 90,
        streams: 9,
        posts_per_second: 45,
        kinds: KINDS.to_vec(),
    };
    chaos::run(&plan).await.assert_kept(Duration::MAX);
}
