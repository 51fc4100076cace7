//! Joining while comments flow, and what else may be on a stream's channel.

use std::{cell::Cell, time::Duration};

use futures_util::future::join_all;
use serde_json::json;
use testkit::{Cluster, Join, PATIENCE, eventually, pause, stream_for};

/// S2, S3: between the subscription and the read of the history comments come: each viewer has each once, in order.
#[tokio::test(flavor = "multi_thread")]
async fn s2_who_joins_while_comments_flow_misses_none_and_has_none_twice() {
    const ROUNDS: usize = 15;
    // Without a linger every viewer that comes to an empty stream is a new subscription and a new read.
    let cluster = Cluster::start(2, 1, &[("FANFARE_LINGER", "0s")]).await;
    let [watched, posting] = &cluster.pods[..] else { panic!("two pods") };
    let streams: Vec<_> = (0..8).map(|_| stream_for("flow")).collect();
    let over = Cell::new(false);
    let posts = async {
        while !over.get() {
            join_all(streams.iter().map(|stream| posting.fill(stream, 5, ""))).await;
        }
    };
    let joins = async {
        let joining = streams.iter().map(|stream| async move {
            for _ in 0..ROUNDS {
                let mut viewer = Join::new(watched, stream).open().await;
                // The newest fifty, and some that came after.
                viewer.comments(80).await;
                viewer.assert_contiguous(viewer.seqs()[0]);
                drop(viewer);
            }
        });
        join_all(joining).await;
        over.set(true);
    };
    tokio::join!(posts, joins);
    let status = cluster.status(0, 0).await;
    let churn = status["subscribe_churn"].as_u64().unwrap();
    assert!(churn > 50, "the streams were left and joined again: {status}");
    assert_eq!((&status["gaps"], &status["resets"]), (&json!(0), &json!(0)));
}

/// Garbage, another version's entries and strangers' on a stream's channel are counted and skipped.
#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_say_on_a_channel_is_counted_and_skipped() {
    let (cluster, stream) = (Cluster::start(1, 1, &[]).await, stream_for("strange"));
    let mut viewer = Join::new(&cluster.pods[0], &stream).open().await;
    viewer.say("one").await;
    let long = "x".repeat(10_000);
    let strange = [
        "garbage",
        "",
        "1",
        "\\n",
        "\\x00\\xff\\xfe\\n{}",
        "2 1 AAAAAAAA 2 AAAAAAAAAAAAAAAA ~ 0 0 comment\\n\\\"body\\\":\\\"of another version\\\"",
        "99999999999999999999999 x\\n",
        "1 1 AAAAAAAA -1 AAAAAAAAAAAAAAAA ~ 0 0 comment\\n",
        "1 1 AAAAAAAA 2\\n",
        "{\\\"type\\\":\\\"comments\\\"}",
        &long,
    ];
    let mut console = cluster.redis(0).console();
    for payload in strange {
        let heard = console.ask(&format!("PUBLISH ff:{{{stream}}} \"{payload}\""));
        assert_eq!(heard, ":1\r\n", "{payload}");
    }
    // Well formed, and of no history: it makes the pod look at the history, and nothing else.
    for forged in [
        "1 1 AAAAAAAA 2 AAAAAAAAAAAAAAAA BBBBBBBBBBBBBBBB 0 0 comment\\n\\\"id\\\":\\\"forged\\\"",
        "1 1 AAAAAAAA 1 AAAAAAAAAAAAAAAA ~ 0 0 comment\\n\\\"id\\\":\\\"forged\\\"",
    ] {
        assert_eq!(console.ask(&format!("PUBLISH ff:{{{stream}}} \"{forged}\"")), ":1\r\n");
    }
    viewer.say("two").await;
    viewer.comments(2).await;
    viewer.assert_contiguous(1);
    // The last one may have been shown from the history, before it is heard.
    let received = json!(strange.len() + 2 + 2);
    let status = eventually("all are heard", PATIENCE, async || {
        let status = cluster.status(0, 0).await;
        (status["received"] == received).then_some(status)
    })
    .await;
    assert_eq!(status["strange"], json!(strange.len()), "{status}");
    pause(Duration::from_millis(200)).await;
    viewer.ping().await;
    assert!(!viewer.has("reset") && !viewer.has("gap") && viewer.seen.len() == 2, "{:?}", viewer.log);
}

/// A history that cannot be read holds up its own viewers only.
///
/// Symptom: viewers of other streams waited up to 5 s for their `hello`. Cause: each failed read paused everything that
/// the keeper does, and the pauses grew.
#[tokio::test(flavor = "multi_thread")]
async fn one_history_that_cannot_be_read_holds_up_no_other() {
    let (cluster, broken) = (Cluster::start(4, 1, &[]).await, stream_for("broken"));
    let (meta, history) = (format!("ff:{{{broken}}}:m"), format!("ff:{{{broken}}}:h"));
    cluster.redis(0).cli(&["SET", &meta, "abcdefgh 1 ABCDEFGHIJKLMNOP 0 0 0"]);
    assert_eq!(cluster.redis(0).cli(&["SET", &history, "a stranger's"]), "OK");
    let broken_on = |pod| {
        let join = Join::new(pod, &broken);
        async move {
            let mut waiting = join.connect().await.unwrap();
            waiting.until("an error", |viewer| viewer.has("error")).await;
            waiting
        }
    };
    let mut waiting = join_all(cluster.pods.iter().map(broken_on)).await;
    // The pauses grow for this long; where each pod is in one of them is chance, hence the four.
    pause(Duration::from_secs(8)).await;
    let whole = stream_for("whole");
    let joins = join_all(cluster.pods.iter().map(|pod| {
        let join = Join::new(pod, &whole);
        async move { join.open().await }
    }));
    for viewer in joins.await {
        assert!(!viewer.has("error"), "it waited for more than a second");
    }
    cluster.redis(0).cli(&["DEL", &meta, &history]);
    for viewer in &mut waiting {
        viewer.until("hello", |viewer| viewer.has("hello")).await;
    }
}
