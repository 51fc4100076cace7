//! The rules on a paused clock: a load goes in, and the gate's moves come out.

use super::*;
use crate::readiness::{Capacity, QuotaSource, Reading, gate::Occupancy};

const THRESHOLDS: Thresholds =
    Thresholds { high: 0.80, low: 0.65, hot_for: Duration::from_secs(5), cool_for: Duration::from_secs(30) };

/// A pod whose load and fleet are the test's.
struct Rig {
    gate: Gate,
    load: watch::Sender<f64>,
    reply: watch::Sender<Option<FleetReply>>,
    request: watch::Receiver<LeaseRequest>,
    /// What the fleet answers to a pod that wants to leave; none if it does not answer.
    answer: Option<LeaseDecision>,
    /// The moves of the gate: the second, and whether the pod was ready from then on.
    moves: Vec<(u64, bool)>,
    second: u64,
}

impl Rig {
    /// Runs the script beside the rules.
    async fn run(answer: Option<LeaseDecision>, script: impl AsyncFnOnce(&mut Self)) {
        let gate = Gate::new(Capacity::default(), THRESHOLDS);
        gate.open(Reason::Starting);
        let (load, loads) = watch::channel(0.0);
        let (reply, words) = watch::channel(None);
        let (request, requests) = watch::channel(LeaseRequest::Stay);
        let rules = Rules { thresholds: THRESHOLDS, gate: gate.clone(), load: loads, reply: words, request };
        let mut rig = Self { gate, load, reply, request: requests, answer, moves: Vec::new(), second: 0 };
        select! {
            () = rules.run() => unreachable!("they go on for ever"),
            () = script(&mut rig) => {}
        }
    }

    /// A load for so many seconds, with a reading and an answer of the fleet each second.
    async fn load(&mut self, load: f64, seconds: u64) {
        for _ in 0..seconds {
            self.second += 1;
            self.gate.publish(reading(load), Occupancy::default());
            self.load.send_replace(load);
            tokio::time::advance(Duration::from_secs(1)).await;
            self.settle().await;
            let verdict = if *self.request.borrow() == LeaseRequest::Leave {
                self.answer
            } else {
                Some(LeaseDecision::Stay)
            };
            if let Some(verdict) = verdict {
                self.reply.send_replace(Some(FleetReply { verdict, at: Instant::now() }));
            }
            self.settle().await;
            let is_ready = self.is_ready();
            if self.moves.last().is_none_or(|(_, before)| *before) != is_ready {
                self.moves.push((self.second, is_ready));
            }
        }
    }

    /// Lets the rules see what there is to see.
    async fn settle(&self) {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    fn is_ready(&self) -> bool {
        self.gate.reasons().is_empty()
    }

    fn is_hot(&self) -> bool {
        self.gate.state().hot
    }
}

fn reading(cpu: f64) -> Reading {
    Reading {
        cpu,
        quota: 1.0,
        quota_source: QuotaSource::Processors,
        throttled_ms: 0,
        memory: None,
        cgroup_fault: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_leaves_after_its_dwell_above_and_comes_back_after_its_dwell_below() {
    Rig::run(Some(LeaseDecision::Leave), async |rig| {
        rig.load(0.81, 4).await;
        assert!(rig.is_ready() && !rig.is_hot(), "not long enough");
        rig.load(0.80, 1).await;
        rig.load(0.81, 4).await;
        assert!(rig.is_ready(), "a moment below begins the time anew");
        rig.load(0.95, 3).await;
        assert!(!rig.is_ready() && rig.is_hot());
        rig.load(0.66, 300).await;
        assert!(!rig.is_ready() && rig.is_hot(), "between the thresholds it stays as it is");
        rig.load(0.64, 25).await;
        assert!(!rig.is_hot(), "cool, and not long enough");
        rig.load(0.65, 1).await;
        rig.load(0.10, 29).await;
        assert!(!rig.is_ready());
        rig.load(0.10, 3).await;
        assert!(rig.is_ready());
        assert_eq!(rig.moves.len(), 2, "{:?}", rig.moves);
    })
    .await;
}

/// P14: load that alternates every 10 s moves the pod at most twice in 5 minutes, whatever its mean over 5 s does.
#[tokio::test(start_paused = true)]
async fn p14_a_load_that_alternates_every_ten_seconds_moves_the_pod_at_most_twice_in_five_minutes() {
    for (high, low) in [(1.0, 0.0), (0.9, 0.5), (0.81, 0.64)] {
        Rig::run(Some(LeaseDecision::Leave), async |rig| {
            let mut last = [low; 5];
            for second in 0..300 {
                last[second % 5] = if second / 10 % 2 == 0 { high } else { low };
                rig.load(last.iter().sum::<f64>() / 5.0, 1).await;
            }
            assert!(rig.moves.len() <= 2, "{high} and {low}: {:?}", rig.moves);
            assert!(!rig.moves.is_empty() || high < 0.82, "the load was high enough to leave once");
        })
        .await;
    }
}

/// G12: a pod that the fleet does not let go stays ready, and asks again.
#[tokio::test(start_paused = true)]
async fn g12_a_hot_pod_stays_ready_until_the_fleet_lets_it_go() {
    Rig::run(Some(LeaseDecision::Stay), async |rig| {
        rig.load(1.0, 60).await;
        assert!(rig.is_ready() && rig.is_hot() && *rig.request.borrow() == LeaseRequest::Leave);
        rig.answer = Some(LeaseDecision::Leave);
        rig.load(1.0, 2).await;
        assert!(!rig.is_ready());
    })
    .await;
}

/// G12: a fleet that cannot be asked lets nobody go, and a pod that was let go comes back before its leave ends.
#[tokio::test(start_paused = true)]
async fn g12_without_the_fleet_a_hot_pod_stays_or_comes_back() {
    Rig::run(None, async |rig| {
        rig.load(1.0, 60).await;
        assert!(rig.is_ready() && rig.is_hot());
        rig.answer = Some(LeaseDecision::Leave);
        rig.load(1.0, 2).await;
        assert!(!rig.is_ready());
        rig.answer = None;
        rig.load(1.0, 8).await;
        assert!(!rig.is_ready(), "a moment of silence is nothing");
        rig.load(1.0, 5).await;
        assert!(rig.is_ready(), "a leave lasts 15 s");
    })
    .await;
}

/// G12: who is called back because the others got hot stays for a while, whatever the fleet says then.
#[tokio::test(start_paused = true)]
async fn g12_who_is_called_back_stays_for_a_while() {
    Rig::run(Some(LeaseDecision::Leave), async |rig| {
        rig.load(1.0, 10).await;
        assert!(!rig.is_ready());
        rig.answer = Some(LeaseDecision::Stay);
        rig.load(1.0, 2).await;
        assert!(rig.is_ready() && rig.is_hot());
        rig.answer = Some(LeaseDecision::Leave);
        rig.load(1.0, 30).await;
        assert!(rig.is_ready());
        rig.load(1.0, 10).await;
        assert!(!rig.is_ready());
        rig.load(0.1, 40).await;
        assert!(rig.is_ready() && !rig.is_hot());
    })
    .await;
}

/// A pod that was called back and cools meanwhile is not hot any more.
#[tokio::test(start_paused = true)]
async fn a_pod_that_cools_while_it_helps_is_cool() {
    Rig::run(Some(LeaseDecision::Leave), async |rig| {
        rig.load(1.0, 10).await;
        rig.answer = Some(LeaseDecision::Stay);
        rig.load(1.0, 2).await;
        rig.load(0.1, 2).await;
        assert!(rig.is_ready() && !rig.is_hot());
    })
    .await;
}

/// Fails closed: rules without a sampler change nothing, and the gate is closed for want of readings.
#[tokio::test(start_paused = true)]
async fn without_a_sampler_the_rules_wait_and_the_gate_is_closed() {
    let gate = Gate::new(Capacity::default(), THRESHOLDS);
    gate.open(Reason::Starting);
    let (load, loads) = watch::channel(0.9);
    let (_word, words) = watch::channel(None);
    let (request, _wishes) = watch::channel(LeaseRequest::Stay);
    let rules = Rules { thresholds: THRESHOLDS, gate: gate.clone(), load: loads, reply: words, request };
    drop(load);
    assert!(timeout(Duration::from_secs(60), rules.run()).await.is_err());
    assert_eq!(gate.reasons(), [Reason::Sampler]);
}

#[test]
fn the_jitter_makes_times_longer_by_a_fifth_at_the_most() {
    for _ in 0..100 {
        let jittered = THRESHOLDS.jittered();
        assert!((5_000..6_000).contains(&jittered.hot_for.as_millis()), "{jittered:?}");
        assert!((30_000..36_000).contains(&jittered.cool_for.as_millis()), "{jittered:?}");
        assert_eq!((jittered.high, jittered.low), (0.80, 0.65));
    }
}
