//! How a pod starts and how it goes: the phases of exit, exit codes, and settings that are refused.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use testkit::{Join, PATIENCE, Pod, Signal, Viewer, exchange, pause, stream_for};

async fn viewers(pod: &Pod, stream: &str, count: usize) -> Vec<Viewer> {
    join_all((0..count).map(|_| async { Join::new(pod, stream).open().await })).await
}

/// G11: every viewer is asked to connect elsewhere, those who stay are closed 1001, and the exit is clean and in time.
#[tokio::test]
async fn g11_a_drain_asks_every_viewer_and_ends_in_time() {
    let pod = Pod::start(&[("FANFARE_SETTLE", "200ms"), ("FANFARE_DRAIN", "2s")]);
    let mut viewers = viewers(&pod, &stream_for("drain"), 20).await;
    pod.signal(Signal::Term);
    let closes = join_all(viewers.iter_mut().map(Viewer::until_closed)).await;
    assert!(closes.iter().all(|code| *code == Some(1001)), "{closes:?}");
    for viewer in &viewers {
        let asked: Vec<_> = viewer.all("reconnect").collect();
        assert_eq!((asked.len(), &asked[0]["reason"]), (1, &"drain".into()));
        assert!(
            asked[0]["within_ms"].as_u64().is_some_and(|within| (1..=2_000).contains(&within)),
            "{asked:?}"
        );
    }
    assert_eq!(pod.exit(PATIENCE).await, Some(0));
}

/// G11: what was acknowledged before the end is in order and complete for those who stay to the end.
#[tokio::test]
async fn g11_posting_works_until_a_viewer_is_closed() {
    let pod = Pod::start(&[("FANFARE_SETTLE", "200ms"), ("FANFARE_DRAIN", "2s")]);
    let mut viewers = viewers(&pod, &stream_for("posting"), 2).await;
    pod.signal(Signal::Term);
    let mut poster = viewers.pop().unwrap();
    let mut acknowledged = 0;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(900) {
        acknowledged = poster.say("still here").await;
        pause(Duration::from_millis(20)).await;
    }
    let mut watcher = viewers.pop().unwrap();
    assert_eq!(watcher.until_closed().await, Some(1001));
    watcher.assert_contiguous(1);
    assert!(watcher.seen.len() as u64 >= acknowledged);
}

/// README "REST": a pod that leaves says so, is alive, and still serves who comes before balancers have noticed.
#[tokio::test]
async fn a_leaving_pod_is_not_ready_but_alive() {
    let pod = Pod::start(&[("FANFARE_SETTLE", "3s"), ("FANFARE_DRAIN", "1s")]);
    let stream = stream_for("settle");
    let ready = pod.ready().await;
    assert_eq!((&ready["ready"], &ready["reasons"]), (&true.into(), &Vec::<u8>::new().into()));
    let early = Join::new(&pod, &stream).open().await;
    pod.signal(Signal::Term);
    let not_ready = testkit::eventually("503", PATIENCE, async || {
        Some(pod.probe("/ready").await).filter(|answer| answer.status == 503)
    });
    let answer = not_ready.await.json();
    assert_eq!((&answer["ready"], &answer["reasons"]), (&false.into(), &vec!["draining"].into()));
    assert_eq!(pod.probe("/live").await.status, 200);
    let mut late = Join::new(&pod, &stream).open().await;
    late.say("just in time").await;
    drop((early, late));
    assert_eq!(pod.exit(PATIENCE).await, Some(0));
}

/// G11. Symptom: of the posts that a load balancer sent in the 3 s after SIGTERM, 135 of 136 failed, with
/// `FANFARE_SETTLE=5s`. Cause: a pod without viewers, or whose last viewer went, left in 60 ms, while balancers send
/// clients until they have noticed. SIGINT of an orchestrator is no different.
#[tokio::test]
async fn g11_a_pod_without_viewers_serves_until_its_settle_time_is_over() {
    for (signal, watched) in [(Signal::Term, false), (Signal::Int, false), (Signal::Term, true)] {
        let pod = Pod::start(&[("FANFARE_SETTLE", "6s"), ("FANFARE_DRAIN", "60s")]);
        let stream = stream_for("settles");
        let early = if watched { Some(Join::new(&pod, &stream).open().await) } else { None };
        let begin = Instant::now();
        pod.signal(signal);
        pod.logged(&["announcing"], PATIENCE).await;
        drop(early);
        // The rest of the time is for what follows, on a machine that is busy.
        while begin.elapsed() < Duration::from_millis(2_500) {
            pod.post(&stream, "on the way here").await;
            pause(Duration::from_millis(20)).await;
        }
        let history = pod.get(&format!("/v1/streams/{stream}/comments")).await;
        assert_eq!(history.status, 200, "{history:?}");
        Join::new(&pod, &stream).open().await.say("just in time").await;
        assert_eq!(pod.exit(PATIENCE).await, Some(0));
        assert!(begin.elapsed() >= Duration::from_secs(6), "{signal:?}: {:?}", begin.elapsed());
    }
}

/// A developer's Ctrl-C does not wait for load balancers, which are not there: with times that no test would live to
/// see, the pod is gone. On the same terminal SIGTERM does wait.
#[tokio::test]
async fn ctrl_c_on_a_terminal_ends_a_pod_without_viewers_at_once() {
    let times = [("FANFARE_SETTLE", "600s"), ("FANFARE_DRAIN", "600s")];
    let pod = Pod::start_on_terminal(&times);
    pod.get("/v1/streams/nobody").await;
    pod.signal(Signal::Int);
    assert_eq!(pod.exit(PATIENCE).await, Some(0));

    let pod = Pod::start_on_terminal(&times);
    let viewer = Join::new(&pod, &stream_for("typed")).open().await;
    pod.signal(Signal::Int);
    pod.logged(&["announcing"], PATIENCE).await;
    pod.post(&stream_for("typed"), "for whoever is there").await;
    drop(viewer);
    assert_eq!(pod.exit(PATIENCE).await, Some(0));

    let pod = Pod::start_on_terminal(&[("FANFARE_SETTLE", "1s"), ("FANFARE_DRAIN", "1s")]);
    let begin = Instant::now();
    pod.signal(Signal::Term);
    assert_eq!(pod.exit(PATIENCE).await, Some(0));
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
}

/// P4: a second signal ends at once, whoever is still there.
#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let pod = Pod::start(&[("FANFARE_SETTLE", "600s"), ("FANFARE_DRAIN", "600s")]);
    let mut viewer = Join::new(&pod, &stream_for("second")).open().await;
    pod.signal(Signal::Term);
    pod.logged(&["announcing"], PATIENCE).await;
    pod.signal(Signal::Int);
    assert_eq!(pod.exit(PATIENCE).await, Some(130), "long before its 1,200 s are over");
    assert_eq!(viewer.until_closed().await, None);
}

/// P3: a viewer that reads nothing and one that never finishes its request do not hold the exit up.
#[tokio::test]
async fn who_hangs_does_not_hold_the_exit_up() {
    let pod = Pod::start(&[("FANFARE_SETTLE", "0s"), ("FANFARE_DRAIN", "1s")]);
    let stream = stream_for("hangs");
    let _stuck = Join::new(&pod, &stream).short_of_buffer().open().await;
    pod.fill(&stream, 1_000, &"x".repeat(200)).await;
    let mut unfinished = testkit::Peer::connect(pod.public).await;
    unfinished.send(b"POST /v1/comments HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{").await;
    let _silent = testkit::Peer::connect(pod.public).await;
    pod.signal(Signal::Term);
    assert_eq!(pod.exit(PATIENCE).await, Some(0), "they would hang for ever");
}

/// G11: no viewer is asked before its turn: of 300 in a drain of 6 s, which keeps 2 s for leaving, the first half is not
/// asked in the first 2 s, and so on. A machine without time for the pod makes viewers later, never earlier; that none
/// waits for too long is shown on a clock that stands still (`viewers_are_asked_evenly`), and in `make verify`.
#[tokio::test]
async fn g11_no_viewer_is_asked_before_its_turn() {
    const VIEWERS: usize = 300;
    let pod = Pod::start(&[("FANFARE_DRAIN", "6s")]);
    let mut all = viewers(&pod, &stream_for("even"), VIEWERS).await;
    let begin = Instant::now();
    pod.signal(Signal::Term);
    let moments = join_all(all.drain(..).map(|mut viewer| async move {
        viewer.until("reconnect", |viewer| viewer.has("reconnect")).await;
        let asked = begin.elapsed();
        assert_eq!(viewer.until_closed().await, Some(1001));
        assert_eq!(viewer.all("reconnect").count(), 1);
        (asked, begin.elapsed())
    }));
    let (mut asked, closed): (Vec<_>, Vec<_>) = moments.await.into_iter().unzip();
    assert_eq!(pod.exit(PATIENCE).await, Some(0));
    asked.sort_unstable();
    for (place, moment) in (0..).zip(&asked) {
        let turn = Duration::from_secs(4) * place / u32::try_from(VIEWERS).unwrap();
        assert!(*moment + Duration::from_millis(50) >= turn, "number {place} after {moment:?}, not {turn:?}");
    }
    assert!(closed.iter().min() > asked.first(), "who was asked has time to leave");
}

/// A pod that has left takes no connection.
#[tokio::test]
async fn a_pod_that_releases_takes_nobody_new() {
    let pod = Pod::start(&[("FANFARE_DRAIN", "3s")]);
    let _stays = Join::new(&pod, &stream_for("refuse")).open().await;
    pod.signal(Signal::Term);
    pod.logged(&["refusing"], PATIENCE).await;
    testkit::eventually("the port is closed", PATIENCE, async || {
        tokio::net::TcpStream::connect(pod.public).await.is_err().then_some(())
    })
    .await;
    assert!(
        exchange(pod.ops, b"GET /live HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .is_some_and(|live| live.status == 200)
    );
}

/// README "Settings": every bad one is named at once, and the start fails as wrong use.
#[test]
fn every_bad_setting_is_named_at_once() {
    let bad = [
        ("FANFARE_LISTEN", "nowhere"),
        ("FANFARE_OPS_LISTEN", "127.0.0.1"),
        ("FANFARE_OPEN", "perhaps"),
        ("FANFARE_POD", "a b"),
        ("FANFARE_TRACK", "blue green"),
        ("FANFARE_HISTORY_COMMENTS", "0"),
        ("FANFARE_HISTORY_TTL", "soon"),
        ("FANFARE_LINGER", "-1s"),
        ("FANFARE_SETTLE", "1000h"),
        ("FANFARE_DRAIN", "30"),
        ("FANFARE_GRACE", "no time"),
        ("FANFARE_READY_CPU_HIGH", "1.01"),
        ("FANFARE_READY_CPU_LOW", "-0.5"),
        ("FANFARE_READY_HOT_FOR", "0s"),
        ("FANFARE_READY_COOL_FOR", "0s"),
        ("FANFARE_MAX_VIEWERS", "-1"),
        ("FANFARE_ACCEPTS_PER_SECOND", "few"),
        ("FANFARE_SHED", "maybe"),
        ("FANFARE_SLO_DELIVER", "0s"),
        ("FANFARE_SLO_JOIN", "61s"),
        ("FANFARE_KEEP_ALIVE", "0s"),
        ("FANFARE_HEAD_BYTES", "16K"),
    ];
    let Err(all) = Pod::try_start(&bad) else { panic!("it started") };
    assert_eq!(all.code, Some(2));
    for (name, value) in bad {
        assert!(all.said.contains(name), "{name} is not named in {}", all.said);
        let Err(one) = Pod::try_start(&[(name, value)]) else { panic!("started with {name}={value}") };
        let named: Vec<_> = bad.iter().filter(|(other, _)| one.said.contains(&format!("{other}:"))).collect();
        assert_eq!((one.code, named), (Some(2), vec![&(name, value)]), "{}", one.said);
    }
    let too_long = [("FANFARE_DRAIN", "30s"), ("FANFARE_GRACE", "20s")];
    let Err(killed) = Pod::try_start(&too_long) else { panic!("it would be killed while it drains") };
    assert!(killed.code == Some(2) && killed.said.contains("FANFARE_GRACE"), "{killed:?}");
    let Err(filter) = Pod::try_start(&[("RUST_LOG", "a=b=c")]) else {
        panic!("started with a broken RUST_LOG")
    };
    assert!(filter.code == Some(2) && filter.said.contains("RUST_LOG"), "{filter:?}");
}

/// README "Settings": open mode beyond loopback is refused unless it is asked for.
#[test]
fn an_open_pod_beyond_loopback_is_refused_unless_asked_for() {
    let everywhere = ("FANFARE_LISTEN", "0.0.0.0:0");
    let Err(refused) = Pod::try_start(&[everywhere]) else { panic!("an open pod for everybody") };
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.said.contains("FANFARE_LISTEN") && refused.said.contains("FANFARE_OPEN=true"),
        "{refused:?}"
    );
    assert!(Pod::try_start(&[everywhere, ("FANFARE_OPEN", "true")]).is_ok());
}

/// An address in use is named with its setting.
#[test]
fn an_address_in_use_is_named() {
    let pod = Pod::start(&[]);
    for (name, address) in [("FANFARE_LISTEN", pod.public), ("FANFARE_OPS_LISTEN", pod.ops)] {
        let Err(ended) = Pod::try_start(&[(name, &address.to_string())]) else { panic!("two at {address}") };
        assert!(ended.code == Some(1) && ended.said.contains(name), "{ended:?}");
    }
}
