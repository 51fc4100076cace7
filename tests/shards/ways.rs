//! The way to a Redis is slow, leads to something that is no Redis, to a stranger, to the server of yesterday, or nowhere.

use std::{net::SocketAddr, time::Duration};

use testkit::{
    Cluster, Direction, Fault, HEALED, Join, PATIENCE, RedisServer, Relay,
    checker::{Drill, Footprint, Ledger, Rest},
    eventually, pause,
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, task::JoinSet};

/// Two pods on two shards; the way to the first leads through the fault proxy.
struct Fixture {
    cluster: Cluster,
    way: Relay,
    here: Vec<String>,
    elsewhere: Vec<String>,
}

impl Fixture {
    async fn new(test: &str) -> Self {
        let servers = vec![RedisServer::durable(), RedisServer::durable()];
        let way = Relay::to_port(servers[0].port()).await;
        let list = format!("a=redis://{},b={}", way.address, servers[1].url());
        let cluster = Cluster::with_list(&list, servers, 2, &[("FANFARE_LINGER", "300ms")]);
        cluster.healed().await;
        let here = cluster.streams_of(0, test, 2).await;
        let elsewhere = cluster.streams_of(1, test, 2).await;
        Self { cluster, way, here, elsewhere }
    }

    fn server(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.cluster.redis(0).port()))
    }

    async fn run(&self, trouble: impl Future<Output = ()>) -> Ledger {
        let streams = [self.here.as_slice(), &self.elsewhere].concat();
        let drill = Drill { pods: &self.cluster.pods, streams: &streams, viewers: 1, posts_per_second: 100 };
        drill
            .run(async {
                pause(Duration::from_millis(500)).await;
                trouble.await;
                self.cluster.healed().await;
                pause(Duration::from_millis(500)).await;
            })
            .await
    }

    /// G10: streams of the other shard were posted to and watched as if nothing had been.
    fn assert_elsewhere_untouched(&self, ledger: &Ledger) {
        assert_eq!(ledger.attempts(&self.elsewhere).0, 0, "posts elsewhere failed");
        for watch in ledger.watches.iter().filter(|watch| self.elsewhere.contains(&watch.stream)) {
            assert_eq!((watch.resets(), watch.holes()), (0, 0), "{}", watch.stream);
        }
    }
}

/// R5: after a failover the pods post to the new primary, while their subscriptions are left on the old one, which
/// answers and hears nothing: that is noticed, and the subscriptions move.
#[tokio::test(flavor = "multi_thread")]
async fn r5_a_subscription_left_on_the_old_primary_moves_to_the_new_one() {
    let fixture = Fixture::new("demoted").await;
    let (old_port, new) = (fixture.server().port().to_string(), RedisServer::durable());
    let subscribers = |of: &RedisServer| of.cli(&["CLIENT", "LIST", "TYPE", "pubsub"]).lines().count();
    let mut ledger = fixture
        .run(async {
            new.cli(&["REPLICAOF", "127.0.0.1", &old_port]);
            eventually("the replica follows", HEALED, async || {
                new.cli(&["INFO", "replication"]).contains("master_link_status:up").then_some(())
            })
            .await;
            new.cli(&["REPLICAOF", "NO", "ONE"]);
            fixture.way.lead_to(SocketAddr::from(([127, 0, 0, 1], new.port())));
            // Only the connections that post and read are ended; those that subscribe are left behind.
            assert_eq!(subscribers(&fixture.cluster.redis(0)), 2);
            fixture.cluster.redis(0).cli(&["CLIENT", "KILL", "TYPE", "normal"]);
            // G9: within 3 s, here three times that.
            eventually("both subscribe to the new one", PATIENCE, async || {
                (subscribers(&new) == 2).then_some(())
            })
            .await;
        })
        .await;
    // What the old one acked before the new one was on its own is lost, and its numbers are used again.
    ledger.rolled_back = true;
    ledger.assert_kept();
    ledger.assert_all_acked();
    fixture.assert_elsewhere_untouched(&ledger);
}

/// R6, G10: half a second of latency to one shard loses nothing, and touches no other.
#[tokio::test(flavor = "multi_thread")]
async fn r6_a_slow_way_to_a_shard_loses_nothing_and_touches_no_other() {
    let fixture = Fixture::new("slow").await;
    let ledger = fixture
        .run(async {
            for later in [25, 250, 100] {
                for direction in [Direction::ToServer, Direction::ToClient] {
                    fixture.way.inject(direction, Fault::Delay(Duration::from_millis(later)));
                }
                pause(Duration::from_secs(2)).await;
            }
            fixture.way.clear();
        })
        .await;
    ledger.assert_nothing_lost();
    fixture.assert_elsewhere_untouched(&ledger);
}

/// What is no Redis may say. The lengths are promises of more than a machine holds.
const GARBAGE: [&[u8]; 7] = [
    b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
    b"\x00\xff\xfe\x80\r\n\r\n",
    b"$9223372036854775807\r\nx",
    b"*1000000000\r\n",
    b"%-1\r\n:\r\n",
    b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n-ERR Protocol error\r\n",
    b"",
];

/// Says something else to each who comes, and closes.
async fn babbler() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, mut tasks) = (listener.local_addr().unwrap(), JoinSet::new());
    tasks.spawn(async move {
        for garbage in GARBAGE.iter().cycle() {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.write_all(garbage).await;
            pause(Duration::from_millis(50)).await;
        }
    });
    (address, tasks)
}

/// R12: replies that are none end the connection and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn r12_garbage_in_the_place_of_replies_harms_nobody() {
    let fixture = Fixture::new("garbage").await;
    let (babbler, _tasks) = babbler().await;
    let ledger = fixture
        .run(async {
            fixture.way.lead_to(babbler);
            fixture.way.cut();
            pause(Duration::from_secs(3)).await;
            fixture.way.lead_to(fixture.server());
        })
        .await;
    ledger.assert_nothing_lost();
    fixture.assert_elsewhere_untouched(&ledger);
}

/// R13, G4: a name that moves to a stranger, and back: that is another history each time, and told.
#[tokio::test(flavor = "multi_thread")]
async fn r13_a_name_that_moves_to_a_stranger_is_told_as_another_history() {
    let (fixture, stranger) = (Fixture::new("stranger").await, RedisServer::durable());
    let lead_to = async |server: SocketAddr| {
        fixture.way.lead_to(server);
        fixture.way.cut();
        pause(Duration::from_millis(500)).await;
        fixture.cluster.healed().await;
        pause(Duration::from_secs(1)).await;
    };
    let mut ledger = fixture
        .run(Box::pin(async {
            lead_to(SocketAddr::from(([127, 0, 0, 1], stranger.port()))).await;
            lead_to(fixture.server()).await;
        }))
        .await;
    ledger.rolled_back = true;
    ledger.assert_kept();
    ledger.assert_all_acked();
    for watch in ledger.watches.iter().filter(|watch| fixture.here.contains(&watch.stream)) {
        assert!((1..=2).contains(&watch.resets()), "{} resets for {}", watch.resets(), watch.stream);
    }
    fixture.assert_elsewhere_untouched(&ledger);
}

/// R14, G5: with every shard down viewers keep their sockets, the pods stay ready, and nothing is lost when they are back.
#[tokio::test(flavor = "multi_thread")]
async fn r14_with_all_shards_down_sockets_stay_and_pods_are_ready() {
    let fixture = Fixture::new("all").await;
    let ledger = fixture
        .run(Box::pin(async {
            let mut viewer = Join::new(&fixture.cluster.pods[0], &fixture.here[0]).open().await;
            for shard in 0..2 {
                fixture.cluster.redis(shard).crash();
            }
            for shard in 0..2 {
                fixture.cluster.until_up(shard, false, HEALED).await;
            }
            viewer.ping().await;
            for pod in &fixture.cluster.pods {
                pod.ready().await;
            }
            for shard in 0..2 {
                fixture.cluster.redis(shard).restart();
            }
            fixture.cluster.healed().await;
            viewer.ping().await;
        }))
        .await;
    ledger.assert_nothing_lost();
}

/// C7: after faults of several kinds, and quiet, a pod holds what it held before: no socket, subscription, descriptor or
/// thread is left behind.
#[tokio::test(flavor = "multi_thread")]
async fn c7_after_quiet_a_pod_holds_what_it_held_before() {
    let fixture = Fixture::new("quiet").await;
    let mut before = Vec::new();
    for pod in &fixture.cluster.pods {
        pod.deserted().await;
        before.push(Footprint::of(pod).await);
    }
    let mut ledger = fixture
        .run(async {
            for _ in 0..3 {
                fixture.cluster.redis(1).cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
                fixture.way.cut();
                pause(Duration::from_millis(700)).await;
                fixture.way.inject(Direction::ToClient, Fault::HalfClose);
                pause(Duration::from_millis(700)).await;
                fixture.way.clear();
            }
        })
        .await;
    for (number, (pod, before)) in fixture.cluster.pods.iter().zip(before).enumerate() {
        ledger.rests.push(Rest::of(pod, &format!("pod-{number}"), before, 4).await);
    }
    ledger.assert_nothing_lost();
}
