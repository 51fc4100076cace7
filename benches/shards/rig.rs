//! A pod without sockets on Redis processes of its own.

use std::{
    future::Future,
    io::{self, IoSlice},
    sync::Arc,
    time::Duration,
};

use fanfare::{
    domain::StreamId,
    hub::{Fanout, Hub, Outlet, Seat},
    shards::{Nudges, ShardSettings, Shards, parse_shards},
    tasks::Tasks,
    telemetry::Sli,
};
use testkit::{
    RedisServer,
    process::{self, REDIS_CPU},
};
use tokio::time::{Instant, sleep};

/// A shard that does not come up, or a stream that is stuck, ends the measurement after this.
const PATIENCE: Duration = Duration::from_secs(30);

/// Hub, lane, links and keepers of a pod, with their shards.
pub(crate) struct Rig {
    pub(crate) servers: Vec<RedisServer>,
    pub(crate) hub: Hub,
    pub(crate) shards: Shards,
    pub(crate) sli: Sli,
    tasks: Tasks,
}

/// The end of a seat that takes everything at once.
struct Taker;

impl Outlet for Taker {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

impl Rig {
    /// Starts so many shards and a pod, and waits until the pod hears all of them.
    pub(crate) async fn start(shards: usize, linger: Duration) -> Self {
        let servers: Vec<_> = (0..shards).map(|_| RedisServer::start()).collect();
        servers.iter().for_each(|server| _ = process::pin(server.pid(), REDIS_CPU));
        let list: Vec<_> =
            servers.iter().enumerate().map(|(n, server)| format!("s{n}={}", server.url())).collect();
        let list = parse_shards(&list.join(",")).unwrap();
        let (nudges, sli, tasks) = (Nudges::new(&list), Sli::default(), Tasks::default());
        let (hub, lanes) = Hub::new(Fanout::new(1, Duration::ZERO), nudges.clone(), sli.clone());
        lanes.into_iter().for_each(|lane| tasks.core("lane", lane.run()));
        let settings = ShardSettings {
            list,
            ring_epoch: 1,
            pod: "bench".to_owned(),
            history_comments: 500,
            history_ttl: Duration::from_secs(3600),
            linger,
        };
        let shards = Shards::start(&settings, &hub, &nudges, &tasks).unwrap();
        let rig = Self { servers, hub, shards, sli, tasks };
        until("the shards are up", || rig.shards.status().iter().all(|shard| shard.up)).await;
        rig
    }

    /// A seat whose end takes everything.
    pub(crate) fn sit(&self, stream: &StreamId) -> Seat {
        self.hub.sit(stream, Arc::new(Taker))
    }

    /// Watches a stream as a newcomer does, from its opening on and for ever.
    pub(crate) async fn watch(&self, stream: &StreamId) {
        let seat = self.sit(stream);
        seat.opened().await;
        seat.enter(seat.opening().unwrap().end);
        self.tasks.core("viewer", async move {
            loop {
                _ = seat.drain(Instant::now());
                seat.woken().await;
            }
        });
    }

    /// Seconds of CPU that the pod has used, and those of all its shards.
    pub(crate) fn cpu_seconds(&self) -> (f64, f64) {
        let of_shards = self.servers.iter().map(|server| process::cpu_seconds(server.pid())).sum();
        (process::cpu_seconds(std::process::id()), of_shards)
    }

    /// Ends the pod's tasks; dropping the rig then ends the shards.
    pub(crate) async fn end(self) {
        self.tasks.stop().await;
    }
}

/// Waits until something is so, and returns how long that took.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "stuck: {what}");
        sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

/// Does something so many times at an even rate.
pub(crate) async fn at_a_rate<F: Future<Output = ()>>(
    per_second: usize,
    times: usize,
    act: impl Fn(usize) -> F,
) {
    let began = Instant::now();
    for n in 0..times {
        let due = began + Duration::from_secs_f64(n as f64 / per_second as f64);
        // The timer's step is a millisecond: what is due by then goes together.
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
        act(n).await;
    }
}

/// The middle one of an odd number of figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Prints a figure of all rounds as a row: the median, and the range.
pub(crate) fn row(what: &str, unit: &str, target: &str, rounds: Vec<f64>) {
    let (least, most) = rounds.iter().fold((f64::MAX, f64::MIN), |(a, b), r| (a.min(*r), b.max(*r)));
    let digits = usize::from(most < 100.0) * 2;
    let middle = median(rounds);
    println!("| {what} | {middle:.digits$} {unit} ({least:.digits$} to {most:.digits$}) | {target} |");
}
