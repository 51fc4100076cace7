//! The addresses behind a shard's name: more than one, and others than before.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use testkit::{
    Cluster, Direction, Fault, HEALED, Join, Name, RedisServer, Relay, Silent, checker::Drill, eventually,
    stream_for,
};

/// The shard's name.
const NAME: &str = "shard.test";
/// How soon a moved name is followed: two looks of up to 12.5 s each, and six times that.
const FOLLOWED: Duration = Duration::from_secs(150);

/// The same port at another loopback address.
fn beside(address: SocketAddr, last: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), address.port())
}

/// Pods on one shard, which they know by a name.
fn pods_on(name: &Name, port: u16, server: RedisServer, pods: usize) -> Cluster {
    let settings = name.settings();
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    Cluster::with_list(&format!("a=redis://{NAME}:{port}"), vec![server], pods, &settings)
}

/// Symptom: a shard whose name had a second, living address stayed down. Cause: the first address, which answered
/// nothing, used up the time of each attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_names_second_address_is_used_where_the_first_swallows_packets() {
    let (silent, server) = (Silent::listen(), RedisServer::durable());
    let second = Relay::at(beside(silent.address, 2), server.port()).await;
    let name = Name::of(NAME, &["127.0.0.1", "127.0.0.2"]);
    let cluster = pods_on(&name, silent.address.port(), server, 1);
    // The round is made anew after each end of the connections: for posts, for reads and for subscriptions.
    for round in 0..3 {
        cluster.healed().await;
        eventually("the three connections", HEALED, async || (second.open() == 3).then_some(())).await;
        let stream = stream_for("second");
        let mut viewer = Join::new(&cluster.pods[0], &stream).open().await;
        viewer.say(&format!("round {round}")).await;
        viewer.comments(1).await;
        second.cut();
        eventually("the cut", HEALED, async || (second.came() > 3 * (round + 1)).then_some(())).await;
    }
}

/// A planned move of a name while its old server lives: a proxy of the same Redis, at another address.
///
/// Symptom: pods stayed at the old address until it was ended, and then each lost what was under way. Cause: a name was
/// resolved when a connection was made, and never again.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_moves_is_followed_and_loses_nothing() {
    let server = RedisServer::durable();
    let first = Relay::to_port(server.port()).await;
    let second = Relay::at(beside(first.address, 2), server.port()).await;
    let name = Name::of(NAME, &["127.0.0.1"]);
    let cluster = pods_on(&name, first.address.port(), server, 2);
    cluster.healed().await;
    // Posts are under way at any moment.
    for relay in [&first, &second] {
        relay.inject(Direction::ToClient, Fault::Delay(Duration::from_millis(100)));
    }

    // Nobody listens there.
    name.lead_to(&["127.0.0.3"]);
    for pod in &cluster.pods {
        pod.logged(&["new address of the shard did not answer"], FOLLOWED).await;
    }
    assert_eq!((first.open(), second.came()), (6, 0), "the old connections are kept");

    let ways = [("127.0.0.2", &first, &second), ("127.0.0.1", &second, &first)];
    let mut refused = Vec::new();
    // A machine with too much to do may refuse posts at any time: one of three moves has to be without.
    for (address, from, to) in ways.iter().cycle().take(3) {
        let streams = [stream_for("moving"), stream_for("moving")];
        let drill = Drill { pods: &cluster.pods, streams: &streams, viewers: 1, posts_per_second: 100 };
        let ledger = drill
            .run(async {
                name.lead_to(&[address]);
                let moved = async || ((from.open(), to.open()) == (0, 6)).then_some(());
                eventually("all connections have moved", FOLLOWED, moved).await;
            })
            .await;
        ledger.assert_nothing_lost();
        refused.push(ledger.attempts(&streams).0);
        if refused.ends_with(&[0]) {
            break;
        }
    }
    assert!(refused.ends_with(&[0]), "posts were refused while the name moved: {refused:?}");
    for pod in &cluster.pods {
        pod.logged(&["shard moved to another address", "127.0.0.2"], HEALED).await;
    }
}
