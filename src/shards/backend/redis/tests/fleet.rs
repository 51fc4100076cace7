//! The fleet: who may refuse viewers for its load, decided in one step on the shard.

use super::*;
use crate::readiness::{FleetView, Heartbeat, LeaseDecision, LeaseRequest};

/// From which load on a pod is hot.
const HIGH: f64 = 0.80;

/// A fleet on a server, whose pods all speak through one link.
struct Fleet {
    kept: Kept,
    server: RedisServer,
}

impl Fleet {
    async fn new() -> Self {
        let server = RedisServer::start();
        Self { kept: Kept::up(&server).await, server }
    }

    async fn tell(&self, pod: usize, cpu: f64, request: LeaseRequest) -> FleetView {
        self.beat(&heartbeat(pod, cpu, request)).await
    }

    async fn beat(&self, beat: &Heartbeat) -> FleetView {
        self.kept.link.beat(beat, 1).await.unwrap()
    }

    /// So many pods of this load that take viewers.
    async fn of(pods: usize, cpu: f64) -> Self {
        let fleet = Self::new().await;
        for pod in 0..pods {
            fleet.tell(pod, cpu, LeaseRequest::Stay).await;
        }
        fleet
    }

    /// How many of these pods may leave, when each asks in turn.
    async fn leaving(&self, pods: std::ops::Range<usize>, cpu: f64) -> usize {
        let mut leaving = 0;
        for pod in pods {
            let view = self.tell(pod, cpu, LeaseRequest::Leave).await;
            leaving += usize::from(view.verdict == LeaseDecision::Leave);
        }
        leaving
    }
}

pub(super) fn heartbeat(pod: usize, cpu: f64, request: LeaseRequest) -> Heartbeat {
    Heartbeat {
        pod: format!("pod-{pod}"),
        track: "blue".to_owned(),
        cpu,
        high: HIGH,
        viewers: 100 * pod,
        ready: true,
        request,
    }
}

/// G12: at most max(1, 30 %) of the live pods of a track leave.
#[tokio::test(flavor = "multi_thread")]
async fn g12_at_most_three_pods_in_ten_leave_and_one_of_few() {
    for (pods, most) in [(2, 1), (3, 1), (4, 1), (6, 1), (7, 2), (10, 3), (11, 3)] {
        let fleet = Fleet::of(pods, 0.1).await;
        assert_eq!(fleet.leaving(0..pods, 0.95).await, most, "of {pods}");
        for pod in most..pods {
            fleet.tell(pod, 0.1, LeaseRequest::Stay).await;
        }
        assert_eq!(fleet.leaving(0..most, 0.95).await, most, "leaves are renewed");
        let view = fleet.tell(pods - 1, 0.95, LeaseRequest::Leave).await;
        assert_eq!(view.verdict, LeaseDecision::Stay, "and no others given");
        assert_eq!((view.pods, view.unready), (pods, most));
    }
}

/// G12: many ask at once; the function is one step, so that no two take the last leave.
#[tokio::test(flavor = "multi_thread")]
async fn g12_pods_that_ask_at_once_take_no_more_than_there_is() {
    let fleet = Fleet::of(10, 0.1).await;
    let ask = |pod| fleet.tell(pod, 0.9, LeaseRequest::Leave);
    let views = futures_util::future::join_all((0..10).map(ask)).await;
    let leaving = views.iter().filter(|view| view.verdict == LeaseDecision::Leave).count();
    assert_eq!(leaving, 3);
}

/// G12: nobody leaves while the others that take viewers are hot on average, and who left comes back when they get hot.
#[tokio::test(flavor = "multi_thread")]
async fn g12_nobody_leaves_while_the_others_are_hot() {
    let fleet = Fleet::of(4, 0.79).await;
    let view = fleet.tell(0, 0.95, LeaseRequest::Leave).await;
    assert_eq!((view.verdict, view.others_cpu), (LeaseDecision::Leave, Some(0.79)));
    for pod in 1..4 {
        fleet.tell(pod, 0.81, LeaseRequest::Stay).await;
    }
    let view = fleet.tell(0, 0.95, LeaseRequest::Leave).await;
    assert_eq!((view.verdict, view.unready), (LeaseDecision::Stay, 0), "the others need it");
    assert_eq!(fleet.leaving(0..4, 0.95).await, 0, "all are hot");
    for pod in 1..4 {
        fleet.tell(pod, 0.5, LeaseRequest::Stay).await;
    }
    assert_eq!(fleet.tell(0, 0.95, LeaseRequest::Leave).await.verdict, LeaseDecision::Leave);
    let last = fleet.tell(1, 0.9, LeaseRequest::Leave).await;
    assert_eq!((last.verdict, last.unready), (LeaseDecision::Stay, 1));
    assert!(last.others_cpu.is_some_and(|cpu| cpu < HIGH), "who left counts no more: {last:?}");
}

/// G12: pods that take no viewers for another reason are nobody to leave the work to.
#[tokio::test(flavor = "multi_thread")]
async fn g12_the_last_pod_that_takes_viewers_stays() {
    let fleet = Fleet::new().await;
    fleet.beat(&Heartbeat { ready: false, ..heartbeat(1, 0.1, LeaseRequest::Stay) }).await;
    let view = fleet.tell(0, 0.95, LeaseRequest::Leave).await;
    assert_eq!((view.verdict, view.pods, view.others_cpu), (LeaseDecision::Stay, 2, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_without_others_and_one_of_another_track_follow_their_own_load() {
    let fleet = Fleet::of(3, 0.95).await;
    let green = Heartbeat { track: "green".to_owned(), ..heartbeat(0, 0.95, LeaseRequest::Leave) };
    let view = fleet.beat(&green).await;
    assert_eq!((view.verdict, view.pods, view.unready), (LeaseDecision::Leave, 1, 1));
    // It counts as on leave, should others have been there unseen.
    let late = fleet.beat(&Heartbeat { pod: "late".to_owned(), ..green }).await;
    assert_eq!((late.verdict, late.unready), (LeaseDecision::Stay, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mean_of_viewers_is_of_all_pods_that_live() {
    let fleet = Fleet::of(4, 0.1).await;
    assert_eq!(fleet.tell(0, 0.1, LeaseRequest::Stay).await.mean_viewers, 150.0);
    let view = fleet.tell(3, 0.1, LeaseRequest::Gone).await;
    assert_eq!(view.verdict, LeaseDecision::Stay);
    let view = fleet.tell(0, 0.1, LeaseRequest::Stay).await;
    assert_eq!((view.pods, view.mean_viewers), (3, 100.0), "who goes away is forgotten at once");
}

/// A pod that says nothing for 15 s of the shard's time is dead, and so is one of the future: the clock was put back.
#[tokio::test(flavor = "multi_thread")]
async fn the_dead_the_odd_and_those_of_the_future_do_not_count() {
    let fleet = Fleet::of(3, 0.1).await;
    let key = "ff:fleet:blue";
    let now_ms: i64 = {
        let time = fleet.server.cli(&["TIME"]);
        time.lines().next().unwrap().parse::<i64>().unwrap() * 1_000
    };
    let entry = |seen: i64| format!("{seen} {} 1 7 1 0.5", seen + 15_000);
    for (pod, text) in [
        ("dead", entry(now_ms - 20_000)),
        ("future", entry(now_ms + 60_000)),
        ("odd", "who knows".to_owned()),
        ("void", String::new()),
    ] {
        fleet.server.cli(&["HSET", key, pod, &text]);
    }
    let view = fleet.tell(0, 0.95, LeaseRequest::Leave).await;
    assert_eq!((view.pods, view.unready, view.verdict), (3, 1, LeaseDecision::Leave));
    assert_eq!(fleet.server.cli(&["HLEN", key]), "3", "they were taken out");
    let ttl: i64 = fleet.server.cli(&["PTTL", key]).parse().unwrap();
    assert!((1..=30_000).contains(&ttl), "a track that is gone leaves nothing: {ttl}");
}

/// A fleet that cannot be read gives no answer; what a pod does then is in the rules.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_fleet_gives_no_answer() {
    let fleet = Fleet::of(2, 0.1).await;
    fleet.server.cli(&["SET", "ff:fleet:blue", "a string"]);
    assert_eq!(fleet.kept.link.beat(&heartbeat(0, 0.9, LeaseRequest::Leave), 1).await, Err(Unavailable));
    fleet.server.cli(&["DEL", "ff:fleet:blue"]);
    assert_eq!(fleet.tell(0, 0.9, LeaseRequest::Leave).await.pods, 1, "it begins anew");
    fleet.server.freeze();
    assert_eq!(fleet.kept.link.beat(&heartbeat(0, 0.9, LeaseRequest::Leave), 1).await, Err(Unavailable));
    fleet.server.thaw();
}
