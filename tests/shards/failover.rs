//! A planned change of the primary, by `FAILOVER` on the primary itself.

use std::net::SocketAddr;

use testkit::{Cluster, HEALED, RedisServer, Relay, checker::Drill, eventually};

/// Returns what a server says of its part in the replication.
fn role(server: &RedisServer) -> String {
    server.cli(&["ROLE"]).lines().next().unwrap_or_default().to_owned()
}

/// G5, G7: `FAILOVER` on a healthy primary loses nothing that was acknowledged and resets nobody, while the name of the
/// shard is moved as a deployment moves it: after the roles have changed, and without cutting a connection.
///
/// Symptom: pods stayed at the demoted server until its connections were cut. Cause: it answers whatever reads, and what
/// is posted at the new primary reaches its subscribers too.
#[tokio::test(flavor = "multi_thread")]
async fn g7_a_planned_change_of_the_primary_loses_nothing() {
    let old = RedisServer::durable();
    let port = old.port().to_string();
    let new = RedisServer::with(&["--save", "", "--appendonly", "yes", "--replicaof", "127.0.0.1", &port]);
    let follows = async || new.cli(&["INFO", "replication"]).contains("master_link_status:up").then_some(());
    eventually("the replica follows", HEALED, follows).await;
    let name = Relay::to_port(old.port()).await;
    let cluster = Cluster::with_list(&format!("a=redis://{}", name.address), vec![old], 2, &[]);
    cluster.healed().await;
    let streams = cluster.streams_of(0, "planned", 2).await;
    let drill = Drill { pods: &cluster.pods, streams: &streams, viewers: 1, posts_per_second: 100 };
    let ledger = drill
        .run(async {
            for stream in &streams {
                let path = format!("/v1/streams/{stream}/comments");
                let posted = async || {
                    let page = cluster.pods[0].get(&path).await.json();
                    page["comments"].as_array().is_some_and(|comments| comments.len() > 10).then_some(())
                };
                eventually("comments", HEALED, posted).await;
            }
            let told = cluster.redis(0).cli(&["FAILOVER", "TO", "127.0.0.1", &new.port().to_string()]);
            assert_eq!(told, "OK");
            let changed =
                async || (role(&new) == "master" && role(&cluster.redis(0)) == "slave").then_some(());
            eventually("the roles have changed", HEALED, changed).await;
            name.lead_to(SocketAddr::from(([127, 0, 0, 1], new.port())));
            // The replica, and the client that asks: no pod is left at the old primary.
            let left = async || {
                (cluster.redis(0).cli(&["CLIENT", "LIST", "TYPE", "normal"]).lines().count() == 1)
                    .then_some(())
            };
            eventually("the pods have left the old primary", HEALED, left).await;
            cluster.until_up(0, true, HEALED).await;
        })
        .await;
    ledger.assert_nothing_lost();
    for watch in &ledger.watches {
        assert_eq!((watch.resets(), watch.holes()), (0, 0), "{}", watch.stream);
    }
    let (failed, _) = ledger.attempts(&streams);
    println!("{failed} posts were refused meanwhile, and repeated");
}
