//! What probes and refusals cost.

use std::{
    cell::Cell,
    fs, thread,
    time::{Duration, Instant},
};

use fanfare::readiness::{Capacity, Gate, Thresholds};
use futures_util::future::join_all;
use testkit::{Heater, Join, Peer, Pod, RawFrame, pause, stream_for};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{MissedTickBehavior, interval},
};

/// `/proc/<pid>/stat` counts in hundredths of a second.
fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

/// P16: `/ready` is answered within 100 ms at the 99th percentile while the pod uses all that it may.
#[tokio::test(flavor = "multi_thread")]
async fn p16_probes_are_answered_while_every_worker_is_busy() {
    let pod = Pod::start(&[("FANFARE_READY_CPU_HIGH", "1"), ("FANFARE_READY_CPU_LOW", "0.9")]);
    let _heaters: Vec<_> = (0..4).map(|_| Heater::on(&pod)).collect();
    pause(Duration::from_secs(2)).await;
    let (before, begin) = (cpu_time(pod.pid), Instant::now());
    let mut times = Vec::new();
    while begin.elapsed() < Duration::from_secs(20) {
        let asked = Instant::now();
        pod.probe("/ready").await;
        times.push(asked.elapsed());
        pause(Duration::from_millis(20)).await;
    }
    let busy = (cpu_time(pod.pid) - before).as_secs_f64() / begin.elapsed().as_secs_f64();
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    println!(
        "/ready under load: {} probes, p99 {p99:?}, slowest {:?}; the pod used {busy:.2} processors",
        times.len(),
        times.last()
    );
    assert!(busy > 0.5, "it was busy");
    assert!(p99 < Duration::from_millis(100), "{p99:?}");
}

/// 2,000 refused handshakes a second cost less than a fifth of a processor, with the default number of them told on the
/// WebSocket too; with all of them told so, less than half of one.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_cheap() {
    for (setting, most) in [("0", 0.20), ("100", 0.20), ("1000000", 0.50)] {
        let mut shares = Vec::new();
        for _ in 0..3 {
            shares.push(storm(setting).await);
        }
        shares.sort_by(f64::total_cmp);
        println!("  median of three: {:.1} % of a processor at 2,000 a second", shares[1] * 100.0);
        assert!(shares[1] < most, "{setting}: {shares:?}");
    }
}

/// Refuses 2,000 handshakes a second; returns the share of a processor that the pod takes for it.
async fn storm(told_a_second: &str) -> f64 {
    const A_SECOND: u32 = 2_000;
    const SECONDS: u32 = 20;
    let settings = [("FANFARE_MAX_VIEWERS", "1"), ("FANFARE_SOCKET_REFUSALS_PER_SECOND", told_a_second)];
    let pod = Pod::start(&settings);
    let stream = stream_for("refused");
    let _viewer = Join::new(&pod, &stream).open().await;
    let handshake = Peer::handshake(&stream);
    let told = Cell::new(0_u32);
    let (before, begin) = (cpu_time(pod.pid), Instant::now());
    let one = async || {
        if is_told(&mut TcpStream::connect(pod.public).await.unwrap(), &handshake).await {
            told.set(told.get() + 1);
        }
    };
    // A thread's work in turns of 10 ms.
    let mut tick = interval(Duration::from_millis(10));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..SECONDS * 100 {
        tick.tick().await;
        join_all((0..A_SECOND / 100).map(|_| one())).await;
    }
    let (cpu, took) = (cpu_time(pod.pid) - before, begin.elapsed());
    let rate = f64::from(A_SECOND * SECONDS) / took.as_secs_f64();
    let each = cpu / (A_SECOND * SECONDS);
    let share = each.as_secs_f64() * f64::from(A_SECOND);
    println!(
        "refused handshakes, {told_a_second} a second told on the socket: {rate:.0} a second for {took:.1?}, {} told; {each:?} of processor time each, at 2,000 a second {:.1} % of one",
        told.get(),
        share * 100.0
    );
    share
}

/// Makes a handshake that is refused and reads the answer to its end; returns whether it came on the WebSocket.
async fn is_told(socket: &mut TcpStream, handshake: &str) -> bool {
    socket.write_all(handshake.as_bytes()).await.unwrap();
    let (mut answer, mut is_closed) = (Vec::new(), false);
    while socket.read_buf(&mut answer).await.unwrap() > 0 {
        // As a client does, which answers the close.
        if !is_closed && answer.ends_with(b"not accepting") {
            is_closed = true;
            socket.write_all(&RawFrame::close(1001, "").bytes()).await.unwrap();
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let is_refused = answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: ");
    let is_told = answer.starts_with("HTTP/1.1 101") && answer.contains("\"reconnect\"") && is_closed;
    assert!(is_refused || is_told, "{answer}");
    is_told
}

/// A join's checks at the gate: two threads make them as fast as they can, with and without a pace, and the gate is looked
/// at and moved meanwhile. A join costs a pod about 50 µs of processor time (docs/figures.md): a fiftieth of that is less
/// than what differs between two runs.
#[test]
fn gate_checks_cost_a_join_nothing_that_can_be_measured() {
    const JOINS: u32 = 2_000_000;
    let seconds = Duration::from_secs;
    let thresholds = Thresholds { high: 0.8, low: 0.65, hot_for: seconds(5), cool_for: seconds(30) };
    for accepts_per_second in [None, Some(u32::MAX)] {
        let gate = Gate::new(Capacity { accepts_per_second, ..Capacity::default() }, thresholds);
        let before = cpu_time(std::process::id());
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for join in 0..JOINS {
                        assert!(gate.admit(1_000, 20).is_ok());
                        if join % 1_000 == 0 {
                            assert!(!gate.state().ready);
                        }
                    }
                });
            }
        });
        let each = (cpu_time(std::process::id()) - before) / (2 * JOINS);
        println!(
            "a check at the gate, two threads at once, pace {accepts_per_second:?}: {each:?} of processor time"
        );
        assert!(each < Duration::from_micros(1), "{each:?}");
    }
}
