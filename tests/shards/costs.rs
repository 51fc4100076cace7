//! What a pod asks of a shard by itself, second by second: `docs/capacity.md` says it, and INFO commandstats agrees.

use std::{collections::BTreeMap, time::Duration};

use testkit::{Cluster, Join, pause};

const DOCUMENT: &str = include_str!("../../docs/capacity.md");
/// Long enough that each thing is done some times.
const TIME: Duration = Duration::from_secs(20);

/// What the document says of a row: commands, and how many of each a second.
fn documented(row: &str) -> BTreeMap<String, f64> {
    let line = DOCUMENT.lines().find_map(|line| line.strip_prefix(&format!("| {row} | ")));
    let cell =
        line.unwrap_or_else(|| panic!("docs/capacity.md has no row {row:?}")).split(" | ").next().unwrap();
    let rate = |word: &str| {
        let (name, rate) = word.rsplit_once(' ').unwrap();
        (name.to_owned(), rate.parse().unwrap())
    };
    cell.split(", ").map(rate).collect()
}

fn calls(cluster: &Cluster, shard: usize) -> BTreeMap<String, f64> {
    let stats = cluster.redis(shard).cli(&["INFO", "commandstats"]);
    let call = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_uppercase(), rest.split(',').next()?.parse().ok()?))
    };
    stats.lines().filter_map(call).collect()
}

/// Compares what a shard was asked in a time with the sum of rows.
async fn compare(cluster: &Cluster, shard: usize, rows: &[&str]) {
    let before = calls(cluster, shard);
    pause(TIME).await;
    let after = calls(cluster, shard);
    let mut expected: BTreeMap<String, f64> = BTreeMap::new();
    for (name, rate) in rows.iter().flat_map(|row| documented(row)) {
        *expected.entry(name).or_default() += rate * TIME.as_secs_f64();
    }
    for (name, after) in after {
        let calls = after - before.get(&name).unwrap_or(&0.0);
        let documented = expected.remove(&name).unwrap_or(0.0);
        // One more or less at each end; a busy machine makes timers late, never early.
        let (least, most) = (0.6 * documented - 2.0, documented + 2.5);
        assert!(
            (least..=most).contains(&calls),
            "{rows:?}: {name} {calls} times in {TIME:?}, not {documented}"
        );
    }
    assert_eq!(expected, BTreeMap::new(), "{rows:?}: commands that were never called");
}

/// Issue 9: a pod that is idle, and one with a stream that is watched in silence, ask what the document says.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_asks_of_a_shard_what_the_document_says() {
    let cluster = Cluster::start(1, 2, &[]).await;
    let fleet = cluster.owner("fleet").await;
    let other = 1 - fleet;
    let (idle, guarded) = ("a pod on a shard", "a pod on the shard of the fleet");
    let (quiet, of_fleet) = ([idle], [idle, guarded]);
    tokio::join!(compare(&cluster, other, &quiet), compare(&cluster, fleet, &of_fleet));
    let silent = cluster.streams_of(other, "silent", 1).await.remove(0);
    let join = Join::new(&cluster.pods[0], &silent);
    let _viewers = [join.open().await, join.open().await];
    // What its beginning costs is over.
    pause(Duration::from_secs(10)).await;
    compare(&cluster, other, &[idle, "a pod with viewers on a shard"]).await;
}
