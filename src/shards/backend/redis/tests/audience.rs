//! Counting viewers: what pods tell a shard, what it tells them, and what becomes of those that are silent.

use super::*;

/// Pods on one server.
struct Pods {
    pods: Vec<Kept>,
    server: RedisServer,
}

fn count(name: &str, viewers: u64, users: &[u64]) -> AudienceCount {
    AudienceCount { stream: stream(name), viewers, users: users.to_vec() }
}

impl Pods {
    async fn start(pods: usize) -> Self {
        let server = RedisServer::start();
        let pods: Vec<_> = (0..pods).map(|number| keep(server.url(), &format!("pod-{number}"))).collect();
        for pod in &pods {
            pod.wait_up().await;
        }
        Self { pods, server }
    }

    /// Waits until the server's clock shows the next millisecond, so that no two counts are of the same.
    fn tick(&self) {
        let millisecond = || {
            let time = self.server.cli(&["TIME"]);
            let (seconds, micros) = time.split_once('\n').unwrap();
            (seconds.to_owned(), micros.trim().parse::<u64>().unwrap() / 1_000)
        };
        let first = millisecond();
        while millisecond() == first {}
    }

    /// Counts that must be taken; how many watch each stream elsewhere.
    async fn tell(&self, pod: usize, counts: &[AudienceCount]) -> Vec<u64> {
        self.tick();
        loop {
            match self.pods[pod].link.count(counts, false).await.unwrap() {
                Counted::Taken { elsewhere, .. } => return elsewhere,
                Counted::Later => {}
            }
        }
    }

    /// What a pod is told next, and other things before that are skipped.
    async fn told(&mut self, pod: usize) -> Vec<(StreamId, u64)> {
        let told = async {
            loop {
                if let Event::Elsewhere(told) = self.pods[pod].event().await {
                    return told;
                }
            }
        };
        tokio::time::timeout(SOON, told).await.expect("it is told")
    }

    /// Viewers elsewhere, peak, users.
    async fn audience(&self, pod: usize, name: &str) -> (u64, u64, u64) {
        let Audience { elsewhere, peak, users } = self.pods[pod].link.audience(&stream(name)).await.unwrap();
        (elsewhere, peak, users)
    }

    fn member(&self, pod: usize) -> &str {
        &self.pods[pod].link.0.member
    }

    /// The time of a pod is over, as if it had been silent for so long.
    fn expire(&self, pod: usize) {
        self.server.cli(&["HSET", "ff:audience", self.member(pod), "1"]);
    }

    fn calls(&self, command: &str) -> u64 {
        let stats = self.server.cli(&["INFO", "commandstats"]);
        let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
        line.map_or(0, |line| line.split(['=', ',']).nth(1).unwrap().parse().unwrap())
    }
}

/// README "Watching": the numbers are of all pods; each pod is told what changed on others, of its own streams only.
#[tokio::test(flavor = "multi_thread")]
async fn pods_are_told_how_many_watch_their_streams_elsewhere() {
    let mut pods = Pods::start(3).await;
    assert_eq!(pods.tell(0, &[count("a", 3, &[1, 2, 3]), count("b", 1, &[1])]).await, [0, 0]);
    assert_eq!(pods.told(0).await, [(stream("a"), 0), (stream("b"), 0)], "who asks is told all that it has");
    assert_eq!(pods.tell(1, &[count("a", 4, &[3, 4, 5, 6])]).await, [3]);
    assert_eq!(pods.told(0).await, [(stream("a"), 4)]);
    assert_eq!(pods.told(1).await, [(stream("a"), 3)]);
    assert_eq!(pods.tell(2, &[count("c", 9, &[])]).await, [0]);
    assert_eq!(pods.told(2).await, [(stream("c"), 0)]);
    assert_eq!(pods.tell(1, &[count("a", 4, &[]), count("b", 2, &[])]).await, [3, 1]);
    assert_eq!(pods.told(0).await, [(stream("b"), 2)], "only what changed");
    assert_eq!(pods.audience(0, "a").await.1, 3, "7 are not confirmed by the first pod");
    pods.tell(0, &[]).await;
    assert_eq!(pods.tell(1, &[count("a", 0, &[]), count("b", 0, &[])]).await, [3, 1]);
    assert_eq!(pods.told(0).await, [(stream("a"), 0), (stream("b"), 0)]);
    assert_eq!(pods.audience(0, "a").await, (0, 7, 6), "the peak and the users stay");
    assert_eq!(pods.audience(1, "a").await, (3, 7, 6));
    assert_eq!(pods.audience(1, "nobody").await, (0, 0, 0));
    let fields = pods.server.cli(&["HLEN", &keys::of_audience(pods.member(1))]);
    assert_eq!(fields, "0", "a stream that nobody watches leaves nothing");
}

/// Symptom: a pod's crash doubled a stream's peak for good. Cause: its viewers came back to another pod while its own
/// lease still counted them, and each total was taken for the peak at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_peak_counts_once_every_pod_has_renewed_its_lease() {
    let pods = Pods::start(3).await;
    let peak = async || pods.audience(0, "a").await.1;
    pods.tell(0, &[count("a", 10, &[])]).await;
    assert_eq!(peak().await, 10, "the only pod confirms its own viewers");
    pods.tell(1, &[count("a", 10, &[])]).await;
    pods.tell(2, &[count("a", 2, &[])]).await;
    assert_eq!(peak().await, 10, "pod 0 may have crashed");
    pods.expire(0);
    pods.tell(1, &[]).await;
    pods.tell(2, &[]).await;
    assert_eq!(peak().await, 12, "the total without pod 0");
    pods.tell(2, &[count("a", 7, &[])]).await;
    pods.tell(1, &[count("a", 5, &[])]).await;
    pods.tell(2, &[]).await;
    assert_eq!(peak().await, 12, "five viewers moved from pod 1 to pod 2, which reported first");
    pods.tell(2, &[count("a", 9, &[])]).await;
    pods.tell(1, &[]).await;
    assert_eq!(peak().await, 14, "both pods confirmed it");
    pods.tell(2, &[count("a", 11, &[])]).await;
    pods.tell(2, &[count("a", 15, &[])]).await;
    pods.tell(1, &[]).await;
    assert_eq!(peak().await, 16, "the first total above the peak");
    pods.tell(2, &[]).await;
    assert_eq!(peak().await, 20, "a higher total that no count repeats");
    assert_eq!(pods.server.cli(&["EXISTS", "ff:peaks"]), "0", "nothing is left to confirm");
}

/// Symptom: `peak_viewers` was too high for ever after two pods crashed one after the other. Cause: the second renewed its
/// lease with the viewers of the first, and when the first was taken out a third had as many more.
#[tokio::test(flavor = "multi_thread")]
async fn two_crashes_within_a_lease_raise_no_peak() {
    let pods = Pods::start(3).await;
    pods.tell(0, &[count("a", 10, &[])]).await;
    pods.tell(1, &[count("a", 10, &[])]).await;
    pods.tell(1, &[]).await;
    pods.tell(2, &[count("a", 10, &[])]).await;
    for crashed in [0, 1] {
        pods.expire(crashed);
        pods.tell(2, &[]).await;
        pods.tell(2, &[]).await;
        assert_eq!(pods.audience(2, "a").await.1, 10, "ten who moved twice; pod {crashed} is taken out");
    }
}

/// A pod that says nothing for 12 s counts no more: whoever calls next takes it out, so much at once, and the others
/// are told of each stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_pod_is_taken_out_in_parts_and_the_others_are_told() {
    let mut pods = Pods::start(2).await;
    let all: Vec<_> = (0..1_000).map(|n| count(&format!("s{n}"), 2, &[])).collect();
    for counts in all.chunks(200) {
        pods.tell(0, counts).await;
        pods.tell(1, counts).await;
    }
    pods.expire(0);
    assert_eq!(pods.audience(1, "s7").await.0, 0, "who asks sooner is answered right, too");
    let mut calls = 0;
    while let Counted::Taken { is_more: true, .. } = pods.pods[1].link.count(&[], false).await.unwrap() {
        calls += 1;
    }
    assert_eq!(calls, 4, "200 streams each");
    let mut alone = std::collections::HashSet::new();
    while alone.len() < 1_000 {
        let told = pods.told(1).await;
        alone.extend(told.into_iter().filter(|(_, elsewhere)| *elsewhere == 0).map(|(stream, _)| stream));
    }
    assert_eq!(pods.server.cli(&["KEYS", "ff:audience*"]).lines().count(), 2, "nothing of it is left");
}

/// A pod that was stopped for so long begins anew: first what it had is taken out, then it is told to say all again.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_comes_back_begins_anew() {
    let mut pods = Pods::start(2).await;
    let first = pods.pods[0].link.count(&[count("a", 1, &[])], false).await.unwrap();
    assert_eq!(first, Counted::Taken { is_new: true, is_more: false, elsewhere: vec![0] });
    let again = pods.pods[0].link.count(&[], false).await.unwrap();
    assert_eq!(again, Counted::Taken { is_new: false, is_more: false, elsewhere: vec![] });
    let many: Vec<_> = (0..250).map(|n| count(&format!("s{n}"), 1, &[])).collect();
    pods.tell(0, &many).await;
    pods.tell(1, &[count("a", 5, &[])]).await;
    pods.expire(0);
    let back = pods.pods[0].link.count(&[count("a", 2, &[])], false).await.unwrap();
    assert_eq!(back, Counted::Later, "251 streams are more than are taken out at once");
    let back = pods.pods[0].link.count(&[count("a", 2, &[])], false).await.unwrap();
    assert_eq!(back, Counted::Taken { is_new: true, is_more: false, elsewhere: vec![5] });
    let told = |told: &[(StreamId, u64)]| told.iter().map(|(_, elsewhere)| *elsewhere).collect::<Vec<_>>();
    assert_eq!(told(&pods.told(1).await), [1], "its own count: pod 0 was there before");
    assert_eq!(told(&pods.told(1).await), [0]);
    assert_eq!(told(&pods.told(1).await), [2]);
    assert_eq!(pods.audience(1, "s0").await.0, 0, "what it does not say again is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_takes_leave_is_gone_at_once() {
    let mut pods = Pods::start(2).await;
    let many: Vec<_> = (0..250).map(|n| count(&format!("s{n}"), 1, &[])).collect();
    pods.tell(0, &many).await;
    pods.tell(1, &[count("s0", 1, &[]), count("s249", 1, &[])]).await;
    pods.told(1).await;
    assert!(pods.pods[0].link.uncount().await.unwrap(), "more is left");
    assert!(!pods.pods[0].link.uncount().await.unwrap());
    let mut told = pods.told(1).await;
    if told.len() < 2 {
        told.extend(pods.told(1).await);
    }
    assert!(told.len() == 2 && told.iter().all(|(_, elsewhere)| *elsewhere == 0), "{told:?}");
    assert_eq!(pods.server.cli(&["HKEYS", "ff:audience"]), pods.member(1));
}

/// Ends that are too far away are of a clock that was put back; what strangers left in the place of a stream's keys
/// fails no other stream, nor does what they say on a pod's channel.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_odd_does_no_harm() {
    let mut pods = Pods::start(2).await;
    pods.tell(0, &[count("a", 1, &[1])]).await;
    for end in ["99999999999999", "never", ""] {
        pods.server.cli(&["HSET", "ff:audience", pods.member(0), end]);
        assert_eq!(pods.audience(1, "a").await.0, 0, "{end:?}");
        pods.tell(1, &[count("a", 1, &[])]).await;
        assert_eq!(pods.server.cli(&["HKEYS", "ff:audience"]), pods.member(1));
        let back = pods.pods[0].link.count(&[count("a", 1, &[])], false).await.unwrap();
        assert!(matches!(back, Counted::Taken { is_new: true, .. }), "{back:?}");
    }
    for key in ["ff:{spoiled}:p", "ff:{spoiled}:u"] {
        pods.server.cli(&["DEL", key]);
        pods.server.cli(&["RPUSH", key, "a list"]);
    }
    let counts = [count("spoiled", 2, &[7]), count("sound", 3, &[7, 8])];
    assert_eq!(pods.tell(0, &counts).await, [0, 0]);
    assert_eq!(pods.audience(1, "spoiled").await, (2, 2, 0));
    assert_eq!(pods.audience(1, "sound").await, (3, 3, 2));
    let channel = keys::of_audience(pods.member(1));
    pods.server.cli(&["PUBLISH", &channel, "garbage\na b c\nsound 77"]);
    while pods.told(1).await != [(stream("sound"), 77)] {}
}

/// With memory exceeded viewers are counted still; the names of peaks and users end with the history's time.
#[tokio::test(flavor = "multi_thread")]
async fn counting_goes_on_with_memory_full_and_its_keys_end() {
    let pods = Pods::start(1).await;
    pods.server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    pods.tell(0, &[count("a", 2, &[1, 2])]).await;
    assert_eq!(pods.audience(0, "a").await, (0, 2, 2));
    let ttl = |key: &str| pods.server.cli(&["PTTL", key]).parse::<i64>().unwrap();
    let mut keys = vec!["ff:{a}:p".to_owned(), "ff:{a}:u".to_owned()];
    assert!(keys.iter().all(|key| (3_590_000..=3_600_000).contains(&ttl(key))), "the history's time");
    for key in &keys {
        pods.server.cli(&["PEXPIRE", key, "100000"]);
    }
    pods.tell(0, &[count("a", 1, &[])]).await;
    assert!(keys.iter().all(|key| ttl(key) <= 100_000), "nothing new");
    pods.pods[0].link.count(&[count("a", 1, &[])], true).await.unwrap();
    assert!(keys.iter().all(|key| ttl(key) > 3_590_000), "kept");
    keys = vec!["ff:audience".to_owned(), keys::of_audience(pods.member(0))];
    assert!(keys.iter().all(|key| (50_000..=60_000).contains(&ttl(key))), "a shard is left with nothing");
}

/// Issue 9: no key for a viewer, and few commands for many streams: 200 streams and 4,000 users of 20 pods' worth cost
/// a command of each sort a pod, and one for each stream that somebody came to.
#[tokio::test(flavor = "multi_thread")]
async fn many_streams_cost_few_commands_and_a_viewer_no_key() {
    let pods = Pods::start(4).await;
    let of_pod = |pod: u64| (0..200).map(move |n| count(&format!("s{n}"), 10 + pod, &[])).collect::<Vec<_>>();
    for pod in 0..4 {
        pods.tell(pod, &of_pod(pod as u64)).await;
    }
    // Until every pod has confirmed the peaks.
    while pods.server.cli(&["HLEN", "ff:peaks"]) != "0" {
        for pod in 0..4 {
            pods.tell(pod, &of_pod(pod as u64)).await;
        }
    }
    let commands = ["fcall", "hgetall", "hmget", "hset", "mget", "publish"];
    let before = commands.map(|command| pods.calls(command));
    pods.tell(0, &of_pod(0)).await;
    let after = commands.map(|command| pods.calls(command));
    let made: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    // PUBLISH also carries the probes of four pods, one a second.
    assert!(made[..5] == [1, 1, 6, 2, 1] && made[5] <= 9, "{commands:?}: {made:?}");
    let keys: usize = pods.server.cli(&["DBSIZE"]).parse().unwrap();
    let users: Vec<u64> = (0..4_000).collect();
    pods.tell(0, &[count("s0", 4_000, &users)]).await;
    for pod in 1..4 {
        pods.tell(pod, &[]).await;
    }
    assert_eq!(pods.server.cli(&["DBSIZE"]), (keys + 1).to_string(), "one more, for all users of the stream");
    let (_, peak, about) = pods.audience(0, "s0").await;
    assert_eq!(peak, 4_000 + 11 + 12 + 13);
    assert!((3_800..4_200).contains(&about), "{about}");
}
