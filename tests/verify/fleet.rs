//! Three pods with a quota each: one gets hot, then all.

use std::time::{Duration, Instant};

use testkit::{Balancer, Crowd, Heater, Join, Pod, RedisServer, eventually, pause, stream_for};

use crate::group::Group;

/// Of a processor.
const QUOTA_HUNDREDTHS: u32 = 30;
const VIEWERS: usize = 120;
/// How often pods are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The pods, then their groups and their shard: they end in this order.
struct Fleet {
    pods: Vec<Pod>,
    _groups: Vec<Group>,
    _redis: RedisServer,
}

impl Fleet {
    async fn start(name: &str) -> Self {
        let redis = RedisServer::durable();
        let shards = format!("a={}", redis.url());
        let names = ["one", "two", "three"];
        let groups: Vec<_> =
            names.iter().map(|pod| Group::of_cpu(&format!("{name}-{pod}"), QUOTA_HUNDREDTHS)).collect();
        let start = |(pod, group): (&&str, &Group)| {
            let settings = [
                ("FANFARE_SHARDS", shards.as_str()),
                ("FANFARE_POD", pod),
                ("FANFARE_SOCKET_REFUSALS_PER_SECOND", "0"),
            ];
            Pod::start_after(&group.script(), &settings)
        };
        let pods: Vec<_> = names.iter().zip(&groups).map(start).collect();
        for pod in &pods {
            eventually("three pods know each other", Duration::from_secs(20), async || {
                pause(LOOK_EVERY).await;
                (pod.probe("/ready").await.json()["fleet"]["pods"] == 3).then_some(())
            })
            .await;
            let ready = pod.ready().await;
            assert_eq!(
                (&ready["quota"], &ready["quota_source"]),
                (&0.3.into(), &"cgroup1".into()),
                "{ready}"
            );
        }
        Self { pods, _groups: groups, _redis: redis }
    }

    /// Each pod's readiness and viewers.
    async fn look(&self) -> Vec<(bool, u64)> {
        let mut looks = Vec::new();
        for pod in &self.pods {
            let answer = pod.probe("/ready").await;
            looks.push((answer.status == 200, answer.json()["viewers"].as_u64().unwrap()));
        }
        looks
    }

    /// Waits until it looks as wanted; tells how long that took.
    async fn until(&self, what: &str, within: Duration, wanted: impl Fn(&[(bool, u64)]) -> bool) -> Duration {
        let begin = Instant::now();
        eventually(what, within, async || {
            pause(LOOK_EVERY).await;
            wanted(&self.look().await).then_some(())
        })
        .await;
        println!("{what}: after {:.1} s, {:?}", begin.elapsed().as_secs_f64(), self.look().await);
        begin.elapsed()
    }
}

/// One pod is driven over the threshold: 503 within 15 s, new viewers go elsewhere, old ones stay, shedding evens the
/// fleet, and the pod is ready again. Nothing is missing, and nothing comes twice.
#[tokio::test(flavor = "multi_thread")]
async fn one_hot_pod_of_three_sheds_its_excess() {
    let fleet = Fleet::start("one-hot").await;
    let balancer = Balancer::of(&fleet.pods);
    let stream = stream_for("one-hot");
    let crowd = Crowd { stream: &stream, viewers: VIEWERS, posts_per_second: 5 };
    let trouble = async {
        let all = u64::try_from(VIEWERS).unwrap();
        fleet.until("all viewers are on one pod", Duration::from_secs(60), |pods| pods[0].1 == all).await;
        let heater = Heater::on(&fleet.pods[0]);
        let took = fleet.until("unready", Duration::from_secs(15), |pods| !pods[0].0).await;
        assert!(took < Duration::from_secs(15), "{took:?}");
        pause(LOOK_EVERY).await;
        let mut newcomers = Vec::new();
        for _ in 0..6 {
            newcomers.push(Join::at(balancer.address, &stream).open().await);
            assert_ne!(newcomers.last().unwrap().hello()["pod"], "one", "new viewers go elsewhere");
        }
        drop(newcomers);
        for _ in 0..60 {
            let pods = fleet.look().await;
            assert!(pods[0].1 == all && pods[1].0 && pods[2].0, "old ones stay, others are ready: {pods:?}");
            pause(LOOK_EVERY).await;
        }
        let even = |pods: &[(bool, u64)]| pods[0].1 <= all / 3 + all / 12;
        fleet.until("even", Duration::from_secs(300), even).await;
        assert!(!fleet.look().await[0].0, "it is hot still");
        drop(heater);
        fleet.until("ready again", Duration::from_secs(60), |pods| pods[0].0).await;
    };
    let (ledger, journeys) = crowd.run(fleet.pods[0].public, balancer.address, trouble).await;
    ledger.assert_nothing_lost();
    let moves: Vec<_> = journeys.iter().map(|journey| journey.pods.len() - 1).collect();
    println!("{} of {VIEWERS} viewers moved; {} posts", moves.iter().sum::<usize>(), ledger.posts.len());
    for journey in &journeys {
        assert!(journey.pods.len() <= 2 && journey.cuts == 0, "{journey:?}");
        assert!(journey.asked.iter().all(|reason| reason == "rebalance"), "{journey:?}");
    }
}

/// The whole fleet is driven over the threshold: none leaves, or at most one of three at a time; refusals say when to come
/// again; no viewer is lost or asked to move.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_hot_fleet_at_most_one_pod_leaves() {
    let fleet = Fleet::start("all-hot").await;
    let balancer = Balancer::of(&fleet.pods);
    let stream = stream_for("all-hot");
    let crowd = Crowd { stream: &stream, viewers: 60, posts_per_second: 5 };
    let trouble = async {
        fleet
            .until("all viewers are there", Duration::from_secs(60), |pods| {
                pods.iter().map(|(_, viewers)| viewers).sum::<u64>() == 60
            })
            .await;
        let _heaters: Vec<_> = fleet.pods.iter().map(Heater::on).collect();
        for pod in &fleet.pods {
            eventually("the pod is hot", Duration::from_secs(60), async || {
                pause(LOOK_EVERY).await;
                (pod.probe("/ready").await.json()["hot"] == true).then_some(())
            })
            .await;
        }
        let (mut refused, mut most_unready) = (0, 0);
        for _ in 0..180 {
            let unready = fleet.look().await.iter().filter(|(ready, _)| !ready).count();
            most_unready = most_unready.max(unready);
            assert!(unready <= 1, "{:?}", fleet.look().await);
            if let Err(Some(refusal)) = Join::at(balancer.address, &stream).attempt().await {
                assert!(refusal.status == 503 && refusal.retry_after_s.is_some_and(|wait| wait > 0));
                refused += 1;
            }
            pause(LOOK_EVERY).await;
        }
        println!("all hot for 90 s and more: at most {most_unready} of 3 unready, {refused} refusals");
        assert!(refused > 10, "hot pods refuse the excess");
        for pod in &fleet.pods {
            let ready = pod.probe("/ready").await.json();
            println!("{}", ready["cpu"]);
            assert_eq!(ready["hot"], true, "{ready}");
        }
    };
    let (ledger, journeys) = crowd.run(balancer.address, balancer.address, trouble).await;
    ledger.assert_nothing_lost();
    for journey in &journeys {
        assert_eq!((journey.pods.len(), journey.cuts, journey.asked.len()), (1, 0, 0), "{journey:?}");
    }
}
