//! What a flood costs those who behave: their latency, the pod's memory, and its log.

use std::{
    fs,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use testkit::{Join, Peer, Pod, RawFrame, TempFile, opcode::PING, pause, stream_for};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

/// Those who behave.
const VIEWERS: usize = 40;
/// How long each part is measured.
const PART: Duration = Duration::from_secs(10);
/// Comments a second.
const RATE: u32 = 50;

/// Viewers who note how long each comment took to them.
struct Ordinary {
    begin: Instant,
    times: Arc<Mutex<Vec<Duration>>>,
    _reading: JoinSet<()>,
}

impl Ordinary {
    async fn join(pod: &Pod, stream: &str) -> Self {
        let (begin, times) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
        let mut reading = JoinSet::new();
        for viewer in join_all((0..VIEWERS).map(|_| async { Join::new(pod, stream).open().await })).await {
            let (mut viewer, times) = (viewer, Arc::clone(&times));
            reading.spawn(async move {
                while viewer.read().await {
                    let now = begin.elapsed();
                    let sent = viewer.seen.drain(..).filter_map(|seen| seen.body.parse().ok());
                    times
                        .lock()
                        .unwrap()
                        .extend(sent.map(|sent| now.saturating_sub(Duration::from_nanos(sent))));
                    viewer.log.clear();
                }
            });
        }
        Self { begin, times, _reading: reading }
    }

    /// Posts for a while; returns the 99th percentile of what came meanwhile.
    async fn p99(&self, poster: &mut testkit::Viewer) -> Duration {
        self.times.lock().unwrap().clear();
        let mut tick = interval(Duration::from_secs(1) / RATE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let until = Instant::now() + PART;
        while Instant::now() < until {
            // Since it was due: that a post waits for the one before counts too.
            let sent = tick.tick().await.into_std().saturating_duration_since(self.begin).as_nanos();
            poster.say(&sent.to_string()).await;
        }
        pause(Duration::from_millis(500)).await;
        let mut times = std::mem::take(&mut *self.times.lock().unwrap());
        let expected = VIEWERS * usize::try_from(RATE).unwrap() * 10;
        assert!(times.len() > expected * 9 / 10, "{} of {expected} came", times.len());
        times.sort_unstable();
        times[times.len() * 99 / 100]
    }
}

/// The pod's resident memory in MiB.
fn resident_mib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}

/// So many connections that send a byte of their handshake now and then, each replaced when it is closed.
async fn slow_handshakes(address: std::net::SocketAddr, count: usize) {
    let one = |number: usize| async move {
        // Not all in the same moment.
        pause(Duration::from_micros(number as u64 * 200)).await;
        loop {
            let Ok(mut socket) = TcpStream::connect(address).await else {
                pause(Duration::from_millis(100)).await;
                continue;
            };
            let mut heard = [0; 256];
            for byte in b"GET /v1/streams/slow/watch HTTP/1.1\r\n" {
                if socket.write_all(&[*byte]).await.is_err() {
                    break;
                }
                if matches!(
                    timeout(Duration::from_secs(1), socket.read(&mut heard)).await,
                    Ok(Ok(0) | Err(_))
                ) {
                    break;
                }
            }
        }
    };
    let mut all = JoinSet::new();
    (0..count).for_each(|number| drop(all.spawn(one(number))));
    while all.join_next().await.is_some() {}
}

/// So many frames a second, a thousand from each socket at once, whatever becomes of it.
async fn frames(pod: &Pod, frame: &RawFrame, a_second: u32) {
    let bytes = frame.bytes().repeat(1_000);
    let mut tick = interval(Duration::from_secs(1) / (a_second / 1_000));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut flooders = JoinSet::new();
    loop {
        tick.tick().await;
        let (bytes, address) = (bytes.clone(), pod.public);
        flooders.spawn(async move {
            let Ok(mut socket) = TcpStream::connect(address).await else { return };
            let _ = socket.write_all(&[Peer::handshake("flooded").as_bytes(), &bytes].concat()).await;
            let mut heard = Vec::new();
            let _ = timeout(Duration::from_secs(5), socket.read_to_end(&mut heard)).await;
        });
        while flooders.try_join_next().is_some() {}
    }
}

/// So many sockets that each send a ping fifty times a second, which is allowed.
async fn pings(pod: &Pod, sockets: usize) {
    let mut all = JoinSet::new();
    for _ in 0..sockets {
        let (mut reading, mut writing) = {
            let mut socket = TcpStream::connect(pod.public).await.unwrap();
            socket.write_all(Peer::handshake("pinged").as_bytes()).await.unwrap();
            socket.into_split()
        };
        all.spawn(async move {
            let mut heard = [0; 4_096];
            while matches!(reading.read(&mut heard).await, Ok(1..)) {}
        });
        all.spawn(async move {
            let (ping, mut tick) = (RawFrame::new(PING, "x").bytes(), interval(Duration::from_millis(20)));
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                if writing.write_all(&ping).await.is_err() {
                    return;
                }
            }
        });
    }
    while all.join_next().await.is_some() {}
}

/// Goes on for as long as it is polled.
type Flood<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// G14: floods leave ordinary viewers' p99 within twice what it is without, memory bounded, and the log readable.
#[tokio::test(flavor = "multi_thread")]
async fn floods_cost_ordinary_viewers_little() {
    let rules = TempFile::with(r#"{"frames": {"viewer": {"per_second": 60, "burst": 200}}}"#);
    let pod = Pod::start(&[
        ("FANFARE_LIMITS", rules.path()),
        ("FANFARE_READY_CPU_HIGH", "1"),
        ("FANFARE_READY_CPU_LOW", "0.9"),
    ]);
    let stream = stream_for("ordinary");
    let ordinary = Ordinary::join(&pod, &stream).await;
    // Within the limits itself.
    let mut poster = Join::new(&pod, &stream).open().await;
    ordinary.p99(&mut poster).await;
    let quiet = ordinary.p99(&mut poster).await;
    let before = resident_mib(pod.pid);
    println!("| flood | p99 of ordinary viewers | against none | the pod's memory | lines of log a second |");
    println!("|---|---|---|---|---|");
    println!("| none | {:.1} ms | | {before} MiB | |", quiet.as_secs_f64() * 1e3);
    let bad = RawFrame::text(r#"{"type":"dance","body":"#);
    let floods: [(&str, Flood<'_>); 3] = [
        ("10,000 slow handshakes", Box::pin(slow_handshakes(pod.public, 10_000))),
        ("50,000 bad frames/s", Box::pin(frames(&pod, &bad, 50_000))),
        ("10,000 pings/s", Box::pin(pings(&pod, 200))),
    ];
    let mut faults = Vec::new();
    for (name, flood) in floods {
        let (lines, begin) = (pod.log_lines().len(), Instant::now());
        let measured = async {
            pause(Duration::from_secs(3)).await;
            ordinary.p99(&mut poster).await
        };
        let p99 = tokio::select! {
            p99 = measured => p99,
            () = flood => unreachable!("it goes on for ever"),
        };
        let memory = resident_mib(pod.pid);
        let lines = (pod.log_lines().len() - lines) as f64 / begin.elapsed().as_secs_f64();
        let times = p99.as_secs_f64() / quiet.as_secs_f64();
        println!("| {name} | {:.1} ms | {times:.2} × | {memory} MiB | {lines:.1} |", p99.as_secs_f64() * 1e3);
        if times > 2.0 || memory > before + 256 || lines > 100.0 {
            faults.push(name);
        }
        pause(Duration::from_secs(6)).await;
    }
    let after = resident_mib(pod.pid);
    println!(
        "| none, afterwards | {:.1} ms | | {after} MiB | |",
        ordinary.p99(&mut poster).await.as_secs_f64() * 1e3
    );
    assert!(faults.is_empty(), "{faults:?}");
}
