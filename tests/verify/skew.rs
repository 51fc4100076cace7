//! Pods of two builds serve one stream together. `scripts/skew.sh` builds the older one, and names it in `OLDER_BUILD`.

use std::{env, time::Duration};

use testkit::{Pod, RedisServer, Signal, checker::Drill, eventually, pause, stream_for};

/// P5, F7: a pod of an older build and one of this build, on the same shards: both hear and fill what the other posts, in
/// either order of arrival on the shard; then the older one leaves, as in a rolling deploy, and its viewers go on.
#[tokio::test(flavor = "multi_thread")]
async fn p5_a_pod_of_an_older_build_and_one_of_this_serve_one_stream_together() {
    let older = env::var("OLDER_BUILD").expect("OLDER_BUILD, the program that scripts/skew.sh has built");
    for older_comes_first in [true, false] {
        let redis = RedisServer::durable();
        let shards = format!("a={}", redis.url());
        let start = |is_older: bool| {
            let settings = [
                ("FANFARE_SHARDS", shards.as_str()),
                ("FANFARE_POD", if is_older { "older" } else { "newer" }),
            ];
            if is_older { Pod::start_build(&older, &settings) } else { Pod::start(&settings) }
        };
        // Who comes first loads its functions into the shard.
        let mut pods = vec![start(older_comes_first)];
        up(&pods[0]).await;
        pods.push(start(!older_comes_first));
        up(&pods[1]).await;
        let leaving = usize::from(!older_comes_first);
        let streams: Vec<_> = (0..4).map(|_| stream_for("skew")).collect();
        let drill = Drill { pods: &pods, streams: &streams, viewers: 2, posts_per_second: 100 };
        let ledger = drill
            .run(async {
                for _ in 0..5 {
                    pause(Duration::from_secs(1)).await;
                    // Holes, so that each fills what it missed from a history that both wrote.
                    redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
                }
                pause(Duration::from_secs(1)).await;
                pods[leaving].signal(Signal::Term);
                assert_eq!(pods[leaving].exit(Duration::from_secs(20)).await, Some(0));
                pause(Duration::from_secs(1)).await;
            })
            .await;
        ledger.assert_nothing_lost();
        println!("older first: {older_comes_first}; {} posts, nothing lost", ledger.posts.len());
    }
}

async fn up(pod: &Pod) {
    eventually("the shard is up", Duration::from_secs(20), async || {
        (pod.probe("/ready").await.json()["shards"]["a"]["up"] == true).then_some(())
    })
    .await;
}
