//! Every alert, in the trouble that it is for.

use std::time::Duration;

use testkit::{
    Join, Pod, RedisServer, Signal, eventually, pause,
    prometheus::{Crowd, Prometheus},
};

use crate::NEVER_HOT;

/// How long an alert may take to fire or to end, its window included.
const SOON: Duration = Duration::from_secs(40);

/// Two pods, blue and green, and a second green one without viewers, which reach one Redis under names of their own; a pod
/// with room for one viewer; and the Prometheus that scrapes them.
struct Fixture {
    prometheus: Prometheus,
    blue: Pod,
    green: Pod,
    spare: Pod,
    full: Pod,
    redis: RedisServer,
}

fn firing(alert: &str) -> String {
    format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}")
}

fn burning(alert: &str) -> String {
    format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\", burn=\"14.4\"}}")
}

impl Fixture {
    async fn open() -> Self {
        let redis = RedisServer::start();
        for user in ["blue", "green", "spare"] {
            redis.cli(&["ACL", "SETUSER", user, "on", ">secret", "~*", "&*", "+@all"]);
        }
        let [blue, green, spare] =
            [("blue", "blue"), ("green", "green"), ("spare", "green")].map(|(pod, track)| {
                let shards = format!("a={}", redis.url_of(pod, "secret"));
                let settings =
                    [("FANFARE_SHARDS", shards.as_str()), ("FANFARE_POD", pod), ("FANFARE_TRACK", track)];
                // A short history, so that a hole can be too old; a long leaving, so that it can be seen.
                let more =
                    [("FANFARE_HISTORY_COMMENTS", "10"), ("FANFARE_SETTLE", "5s"), ("FANFARE_DRAIN", "1s")];
                Pod::start(&[&settings[..], &more, &[NEVER_HOT]].concat())
            });
        for pod in [&blue, &green, &spare] {
            pod.ready().await;
        }
        let full = Pod::start(&[("FANFARE_TRACK", "full"), ("FANFARE_MAX_VIEWERS", "1"), NEVER_HOT]);
        let prometheus = Prometheus::start(&[&blue, &green, &spare, &full]).await;
        Self { prometheus, blue, green, spare, full, redis }
    }

    async fn fires(&self, alert: &str) {
        self.prometheus.answers(alert, &firing(alert), SOON).await;
        println!("fires    {alert}");
    }

    async fn ends(&self, what: &str, query: &str) {
        eventually(what, SOON, async || {
            pause(Duration::from_millis(100)).await;
            self.prometheus.ask(query).is_empty().then_some(())
        })
        .await;
        println!("ends     {what}");
    }

    /// Redis answers for a moment only, again and again, until the query has an answer.
    async fn slow_down(&self, frozen: Duration, until: &str) {
        eventually(until, SOON, async || {
            self.redis.freeze();
            pause(frozen).await;
            self.redis.thaw();
            pause(Duration::from_millis(60)).await;
            (!self.prometheus.ask(until).is_empty()).then_some(())
        })
        .await;
        println!("fires    {until}");
    }

    /// Nothing is missed while a pod is stopped but what its connection loses with it.
    async fn lose_more_than_the_history_holds(&self) {
        let mut viewer = Join::new(&self.blue, "holed").open().await;
        self.green.fill("holed", 1, "").await;
        self.blue.signal(Signal::Stop);
        self.green.fill("holed", 1_500, &"x".repeat(400)).await;
        self.redis.cli(&["CLIENT", "KILL", "USER", "blue"]);
        self.blue.signal(Signal::Cont);
        // A viewer that does not read would be closed before the hole is found.
        viewer.while_reading(self.fires("FanfareUnrepairedLoss")).await;
    }
}

/// A shard that is slowed down on purpose burns the budgets; when it is well again, the fast alerts end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_alert_fires_in_its_trouble() {
    let fixture = Fixture::open().await;
    let prometheus = &fixture.prometheus;
    let crowd = Crowd::on(&[&fixture.blue, &fixture.green], 5, 2).await;
    prometheus.answers("traffic", "count(fanfare:slo_all:rate1h > 0.3) >= 6", SOON).await;
    assert_eq!(
        prometheus.ask("ALERTS{alertstate=\"firing\", severity=\"page\"}"),
        [0.0; 0],
        "nobody is woken yet"
    );

    let deliveries = burning("FanfareDeliveryBurn");
    fixture.slow_down(Duration::from_millis(700), &deliveries).await;
    fixture.slow_down(Duration::from_millis(1_400), &burning("FanfareJoinBurn")).await;
    fixture.slow_down(Duration::from_millis(2_200), &burning("FanfarePostBurn")).await;
    fixture.redis.freeze();
    fixture.fires("FanfareShardDeaf").await;
    fixture.redis.thaw();
    fixture.ends("FanfareShardDeaf", &firing("FanfareShardDeaf")).await;
    fixture.ends("FanfareDeliveryBurn", &deliveries).await;
    fixture.ends("FanfarePostBurn", &burning("FanfarePostBurn")).await;

    // The other pod of its track hears the shard.
    fixture.redis.cli(&["ACL", "SETUSER", "spare", "off"]);
    fixture.redis.cli(&["CLIENT", "KILL", "USER", "spare"]);
    fixture.fires("FanfareShardDeafOnPod").await;
    fixture.redis.cli(&["ACL", "SETUSER", "spare", "on"]);
    fixture.ends("FanfareShardDeafOnPod", &firing("FanfareShardDeafOnPod")).await;

    fixture.lose_more_than_the_history_holds().await;
    fixture.redis.cli(&["FLUSHALL"]);
    fixture.fires("FanfareHistoryReset").await;

    // Deliveries to viewers who stop to read, and go on when the tape has left them behind.
    let mut slow = Vec::new();
    for _ in 0..5 {
        slow.push(Join::new(&fixture.blue, "slow").short_of_buffer().open().await);
    }
    fixture.blue.fill("slow", 6_000, "").await;
    let reads = slow.iter_mut().map(|viewer| viewer.until("a skip", |viewer| viewer.has("skipped")));
    futures_util::future::join_all(reads).await;
    fixture.fires("FanfareSkipsOverBudget").await;
    fixture.fires("FanfareManyLagging").await;
    drop(slow);

    // No pod is pushed to its limit here: the threshold is tested with the rules, that there is a figure, here.
    let coolest = "min by (fanfare_track) (fanfare_cpu_utilization * on (job, instance) group_left (fanfare_track) fanfare:pod:alive)";
    assert_eq!(prometheus.ask(coolest).len(), 3);
    // A pod that is full is not ready, and is the only one of its track.
    let _last = Join::new(&fixture.full, "full").open().await;
    fixture.fires("FanfareNoPodReady").await;

    // A pod that is told to end pages nobody; one that is killed does, and is missed.
    fixture.blue.signal(Signal::Term);
    let gone = "absent(fanfare:pods:alive{fanfare_track=\"blue\"})";
    prometheus.answers("blue is gone", gone, SOON).await;
    fixture.green.signal(Signal::Kill);
    fixture.spare.signal(Signal::Kill);
    fixture.fires("FanfareTrackDown").await;
    fixture.fires("FanfarePodDown").await;
    let of_blue = "ALERTS{alertname=~\"FanfareNoPodReady|FanfareTrackDown\", fanfare_track=\"blue\", alertstate=\"firing\"}";
    assert_eq!(prometheus.ask(&format!("count_over_time({of_blue}[1m])")), [0.0; 0]);
    drop(crowd);
    fixture.full.signal(Signal::Kill);
    fixture.fires("FanfareNoData").await;
}
