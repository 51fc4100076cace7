//! One pod and its load.

use std::time::Duration;

use testkit::{Heater, Join, PATIENCE, Pod, eventually, pause, stream_for};

/// Leaves the process one processor; pods do not all get the same one.
const ONE_PROCESSOR: &str = "taskset -p -c $(($$ % $(nproc))) $$ >&2";

/// A pod that has one processor whatever the machine has, and gets hot from a little work.
pub(crate) fn touchy(settings: &[(&str, &str)]) -> Pod {
    let touchy = [
        ("FANFARE_READY_CPU_HIGH", "0.08"),
        ("FANFARE_READY_CPU_LOW", "0.05"),
        ("FANFARE_READY_HOT_FOR", "1s"),
        ("FANFARE_READY_COOL_FOR", "2s"),
    ];
    Pod::start_after(ONE_PROCESSOR, &[&touchy, settings].concat())
}

/// Waits until the pod is ready, or is not.
pub(crate) async fn until_ready(pod: &Pod, ready: bool) -> serde_json::Value {
    eventually(&format!("ready: {ready}"), PATIENCE, async || {
        // Probes are work too, and this pod is touchy.
        pause(Duration::from_millis(200)).await;
        let answer = pod.probe("/ready").await;
        ((answer.status == 200) == ready).then(|| answer.json())
    })
    .await
}

/// README "Readiness": `/ready` tells the load, the thresholds, the quota and the fleet; `/live` tells nothing of that.
#[tokio::test]
async fn ready_tells_the_load_and_the_thresholds() {
    let pod = Pod::start_after(ONE_PROCESSOR, &[]);
    let ready = pod.ready().await;
    assert_eq!((&ready["high"], &ready["low"]), (&0.8.into(), &0.65.into()), "{ready}");
    assert!(ready["cpu"].as_f64().is_some_and(|cpu| (0.0..1.5).contains(&cpu)), "{ready}");
    assert!(ready["quota"].as_f64().is_some_and(|quota| quota > 0.0 && quota <= 1.0), "{ready}");
    let source = ready["quota_source"].as_str().unwrap();
    assert!(["cgroup2", "cgroup1", "processors"].contains(&source), "{ready}");
    assert!(ready["throttled_ms"].is_u64() && ready["hot"] == false, "{ready}");
    assert!(ready["max_viewers"].as_u64().is_some_and(|most| most > 0), "{ready}");
    let fleet = eventually("a fleet of one", PATIENCE, async || {
        Some(pod.ready().await["fleet"].clone()).filter(|fleet| !fleet.is_null())
    });
    let fleet = fleet.await;
    assert_eq!((&fleet["pods"], &fleet["unready"]), (&1.into(), &0.into()));
    assert_eq!(pod.probe("/live").await.body, r#"{"live":true}"#);
}

/// A lone pod on the embedded shard follows its load alone: `/ready` fails and comes back, and viewers stay. While it is
/// hot, who comes is refused but for a trickle.
#[tokio::test(flavor = "multi_thread")]
async fn a_hot_pod_is_unready_keeps_its_viewers_and_is_ready_again() {
    let pod = touchy(&[("FANFARE_SOCKET_REFUSALS_PER_SECOND", "0")]);
    let stream = stream_for("hot");
    let mut stays = Join::new(&pod, &stream).open().await;
    until_ready(&pod, true).await;
    let heater = Heater::on(&pod);
    let hot = stays.while_reading(until_ready(&pod, false)).await;
    assert_eq!((&hot["reasons"], &hot["hot"]), (&vec!["cpu"].into(), &true.into()));
    assert!(hot["cpu"].as_f64().is_some_and(|cpu| cpu > 0.08), "{hot}");
    assert_eq!(pod.probe("/live").await.status, 200);
    stays.say("still here").await;

    let refusal =
        eventually("a refusal", PATIENCE, async || Join::new(&pod, &stream).attempt().await.err().flatten());
    let refusal = stays.while_reading(refusal).await;
    assert!(refusal.status == 503 && refusal.retry_after_s.is_some_and(|wait| (5..=15).contains(&wait)));
    let late = eventually("the trickle", PATIENCE, async || Join::new(&pod, &stream).try_open().await);
    let _late = stays.while_reading(late).await;

    drop(heater);
    let cool = stays.while_reading(until_ready(&pod, true)).await;
    assert_eq!((&cool["reasons"], &cool["hot"]), (&Vec::<u8>::new().into(), &false.into()));
    stays.say("cool again").await;
    stays.comments(2).await;
    stays.assert_contiguous(1);
}
