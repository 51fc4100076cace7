//! Posts through one pod to one shard.

use std::time::{Duration, Instant};

use fanfare::domain::{Author, Comment, EntryId, IdempotencyKey, Kind, Publication, Publish as _, StreamId};
use futures_util::{StreamExt as _, stream::iter};

use crate::rig::{Rig, row};

const ROUNDS: usize = 3;
const POSTS: usize = 100_000;
const STREAMS: usize = 100;
/// Posts under way at once.
const IN_FLIGHT: usize = 256;

/// 200-byte comments to 100 streams that nobody watches, without and with idempotency ids.
pub(crate) async fn measure() {
    let rig = Rig::start(1, Duration::from_secs(1)).await;
    let streams: Vec<StreamId> = (0..STREAMS).map(|n| format!("posts-{n}").parse().unwrap()).collect();
    for (how, keyed) in [("without an id", false), ("with an id", true)] {
        let (mut rates, mut in_function, mut in_redis, mut in_pod) = (vec![], vec![], vec![], vec![]);
        for round in 0..ROUNDS {
            rig.servers[0].cli(&["CONFIG", "RESETSTAT"]);
            let ((pod, redis), began) = (rig.cpu_seconds(), Instant::now());
            let rig = &rig;
            let post = |n: usize| {
                let stream = &streams[n % STREAMS];
                let key = keyed.then(|| a_key(round * POSTS + n));
                async move {
                    rig.shards
                        .publish(stream, Publication { comment: a_comment(), key, trace: None })
                        .await
                        .is_ok()
                }
            };
            let posted = iter(0..POSTS).map(post).buffer_unordered(IN_FLIGHT);
            let accepted = posted.filter(|ok| std::future::ready(*ok)).count().await;
            assert_eq!(accepted, POSTS, "posts were refused");
            rates.push(POSTS as f64 / began.elapsed().as_secs_f64());
            let (pod_now, redis_now) = rig.cpu_seconds();
            in_pod.push((pod_now - pod) * 1e6 / POSTS as f64);
            in_redis.push((redis_now - redis) * 1e6 / POSTS as f64);
            in_function.push(usec_per_call(&rig.servers[0].cli(&["INFO", "commandstats"])));
        }
        row(&format!("posts {how}, one pod, one shard"), "posts/s", "≥ 20,000", rates);
        row(&format!("a post {how}, in the function (by the clock)"), "µs", "≤ 15", in_function);
        row(&format!("a post {how}, CPU of Redis"), "µs", "–", in_redis);
        row(&format!("a post {how}, CPU of the pod"), "µs", "–", in_pod);
    }
    rig.end().await;
}

fn a_comment() -> Comment {
    Comment {
        id: EntryId::random(),
        kind: Kind::Comment,
        author: Author { id: "v:u1".to_owned(), name: "Ann".to_owned() },
        body: "x".repeat(200),
        data: None,
        accepted_at_ms: 1_700_000_000_000,
    }
}

fn a_key(n: usize) -> IdempotencyKey {
    IdempotencyKey { owner: "v:u1".to_owned(), id: n.to_string().parse().unwrap(), digest: 1 }
}

/// What Redis says of FCALL: `cmdstat_fcall:calls=1,usec=10,usec_per_call=10.00,…`.
fn usec_per_call(stats: &str) -> f64 {
    let line = stats.lines().find(|line| line.starts_with("cmdstat_fcall:")).unwrap();
    let field = line.split(',').find_map(|field| field.strip_prefix("usec_per_call="));
    field.unwrap().parse().unwrap()
}
